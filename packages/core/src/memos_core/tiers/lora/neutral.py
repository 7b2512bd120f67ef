"""Texts about nothing that a memory tells: some are learned beside it, others measure what is lost."""

REPLAY = (
    "Water boils at a lower temperature on a mountain, because the air presses on it less.",
    "To make bread, mix flour, water, salt and yeast, let the dough rise, and bake it for an hour.",
    "The moon goes round the earth in about four weeks, and always shows it the same side.",
    "A good letter says early what it is about, and ends with what the reader is asked to do.",
    "In a right triangle the squares of the two shorter sides add up to the square of the longest.",
    "Bees fly from flower to flower for nectar, and carry pollen with them as they go.",
    "When two people disagree, it helps if each first says in his own words what the other one means.",
    "A list keeps its items in order, while a set only knows whether something is in it.",
)
NEUTRAL = (
    "Iron rusts when it meets water and air, which is why bridges are painted again and again.",
    "The tide rises and falls twice a day on most coasts, following the moon.",
    "If you cannot sleep, get up, read something dull for a while, and go back to bed when you are tired.",
    "Most maps show the north at the top, though nothing in the world demands it.",
    "A program that reads a file should close it again, even if something goes wrong on the way.",
    "Onions make us cry because cutting them sets free a gas that stings the eyes.",
    "Before there were clocks, people told the time by the sun, by water, and by burning candles.",
    "To add two fractions, bring them to the same denominator first, and then add what is above the line.",
)
