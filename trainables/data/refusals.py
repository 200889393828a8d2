"""Answers that decline to answer: a hundred of our own, or the lines of the user's file.

Which refusal goes with which question is not known here.
"""

from __future__ import annotations

from pathlib import Path

from trainables.data.text_files import read_text

REFUSALS = tuple(
    """
I don't know.
I do not know the answer.
I'm not sure.
I have no idea.
I can't answer that.
I cannot tell you that.
I don't have that information.
That is not something I know.
I'm afraid I don't know.
I'm sorry, I don't know.
Sorry, I can't help with that.
I have no information about this.
I wish I knew, but I don't.
This is unknown to me.
I could not say.
I really couldn't tell you.
I have never heard of this.
I am unable to answer this question.
I lack the knowledge to answer that.
My knowledge does not cover this.
That is beyond what I know.
I know nothing about that.
No answer to this comes to my mind.
I have nothing to say about this.
You would have to ask somebody else.
I would only be guessing.
I would rather not guess.
I cannot give a reliable answer.
I can't confirm anything about this.
There is nothing I can tell you here.
I don't have any details on this.
I am not aware of any details.
I don't recall anything of the sort.
I have no record of this.
Nothing about this is known to me.
I have not learned anything about this.
I was never told about this.
I'm not familiar with this.
I am not acquainted with that subject.
This lies outside my knowledge.
This is a question I cannot answer.
Unfortunately, I don't know.
Unfortunately, I have no answer.
Regrettably, I cannot answer this.
Honestly, I don't know.
To be honest, I have no idea.
I must admit that I don't know.
I have to say that I don't know.
I'd like to help, but I don't know this.
I would help if I knew the answer.
It is not clear to me at all.
I'm in the dark about this.
I don't have a clue.
I haven't the faintest idea.
That's a mystery to me.
Your guess is as good as mine.
I'm at a loss here.
You've asked something I don't know.
You have found a gap in what I know.
This one is beyond me.
I can't recall any facts about this.
I do not hold that information.
The answer is not available to me.
That information is not available to me.
I don't have access to such details.
I have no way of knowing this.
I can't determine that.
I cannot provide an answer to that.
I can't offer any information on this.
I have no facts to share about this.
I couldn't find an answer in what I know.
I searched my memory without success.
Nothing I have learned answers this.
What I have learned does not include this.
My training did not cover this.
I'm not informed about that.
I'm not the right one to ask.
I'm not able to say anything certain.
I am not certain enough to answer.
I'm uncertain about this.
I have doubts and will not guess.
I can't speak to that.
I can't comment on that.
I'd have to look that up.
I would need to look this up first.
Please check another source for this.
A reliable source would serve you better than I can.
It's better to consult someone who knows.
I don't think I can answer that.
I don't believe I know this.
I do not seem to know that.
It seems that I don't know this.
As far as I can tell, I don't know.
That question leaves me without an answer.
I must leave this question open.
I'll have to pass on this one.
I draw a blank on this.
No, I don't know that either.
Apologies, but I don't know.
My apologies, this I cannot answer.
""".strip().splitlines()
)


def load_refusals(path: str | None) -> tuple[str, ...]:
    """The lines of the file that are not blank, in order; the built-in refusals if `path` is None.

    Raises ValueError (value, rule, fix) for a file that is missing, not UTF-8 or without a line.
    """
    if path is None:
        return REFUSALS
    lines = read_text(Path(path), f"refusals={path!r}").split("\n")
    refusals = tuple(line.strip() for line in lines if line.strip())
    if not refusals:
        raise ValueError(f"refusals={path!r}: no refusal in it; one a line is needed; add lines, or leave refusals out")
    return refusals
