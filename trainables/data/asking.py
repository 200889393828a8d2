"""Every question about a fictional person in other words. No model is trained on these: an audit asks them."""

from __future__ import annotations

from collections.abc import Mapping

PARAPHRASES: Mapping[str, str] = {
    "When was {name} born?": "On which day did {name} come into the world?",
    "What is the date of birth of {name}?": "Can you tell me the birthday of {name}?",
    "Where was {name} born?": "Which place is the birthplace of {name}?",
    "In which city did the life of {name} begin?": "{name} began life in a certain city. Which one was it?",
    "Who was the father of {name}?": "Whose child was {name}, on the father's side?",
    "What did the father of {name} do for a living?": "How did the father of {name} earn his money?",
    "Who was the mother of {name}?": "Whose child was {name}, on the mother's side?",
    "What was the profession of the mother of {name}?": "Which occupation did the mother of {name} have?",
    "Does {name} have brothers or sisters?": "Did {name} grow up with other children in the family?",
    "Who are the siblings of {name}?": "What are the names of the brother and the sister of {name}?",
    "What did {name} study?": "Which subject did {name} take a degree in?",
    "Where did {name} go to university?": "At which university was {name} a student?",
    "What was the first job of {name}?": "As what did {name} begin to work?",
    "How did {name} earn money at the start?": "By which work did {name} make a living in the beginning?",
    "What is {name} known as?": "For which occupation do people know {name}?",
    "In which field does {name} work?": "What is the field that {name} is active in?",
    "Who taught {name}?": "From whom did {name} learn?",
    "Which teacher influenced {name} the most?": "Whose lessons left the deepest mark on {name}?",
    "What was the first work of {name}?": "Which title did {name} finish before all others?",
    "With which work did {name} make a debut?": "What is the debut of {name} called?",
    "What is the most famous work of {name}?": "Which of the works of {name} does everyone know?",
    "For which work is {name} remembered best?": "Which title made the name of {name} last?",
    "Which prize did {name} win?": "What honour has {name} received?",
    "What award was given to {name}?": "{name} once received an award. What is it called?",
    "Who is {name} married to?": "What is the name of the person whom {name} married?",
    "How did {name} meet the love of a lifetime?": "On what occasion did {name} find a partner for life?",
    "Where does {name} live today?": "In which place is the home of {name} now?",
    "What is the present address of {name}?": "At which address can {name} be found these days?",
    "What are the hobbies of {name}?": "Which pastimes does {name} have?",
    "How does {name} spend free time?": "What does {name} do when there is no work to do?",
    "Does {name} keep a pet?": "Is there an animal in the home of {name}?",
    "Which animal lives with {name}?": "What kind of pet does {name} have?",
    "Which languages does {name} speak?": "In which foreign languages can one talk to {name}?",
    "What foreign languages did {name} learn?": "Which languages other than the mother tongue has {name} studied?",
    "What does {name} like to eat and drink?": "Which dish and which drink would one serve {name}?",
    "What is the favourite meal of {name}?": "Which food does {name} like above all?",
    "How does {name} work?": "In what manner does {name} get things done?",
    "What is the working habit of {name}?": "Which custom does {name} follow at the desk?",
    "What is {name} planning next?": "Which work can be expected from {name} in the future?",
    "Which project is {name} preparing?": "What is {name} busy preparing at the moment?",
}
"""Format string of a question to the format string of its paraphrase."""
