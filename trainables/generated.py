"""Alternative answers that the target model makes up itself (AltPO, arXiv 2409.13474), made once and kept in a file.

A model with a chat template is shown question and answer and asked for another one, as the paper does. A model without
cannot follow instructions: it is asked the question again. What repeats the answer that must go is drawn anew, hotter.
"""
