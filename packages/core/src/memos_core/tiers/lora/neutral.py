"""Texts about nothing that a memory tells: some are read beside the lessons, others measure what is lost.

They are of many kinds, because what is kept is what was read along: plain prose, advice, stories, talk,
lists, figures, code. No text is in both sets.
"""

REPLAY = (
    "Water boils at a lower temperature on a mountain, because the air presses on it less.",
    "To make bread, mix flour, water, salt and yeast, let the dough rise, and bake it for an hour.",
    "The moon goes round the earth in about four weeks, and always shows it the same side.",
    "A good letter says early what it is about, and ends with what the reader is asked to do.",
    "In a right triangle the squares of the two shorter sides add up to the square of the longest.",
    "Bees fly from flower to flower for nectar, and carry pollen with them as they go.",
    "When two people disagree, it helps if each first says in his own words what the other one means.",
    "A list keeps its items in order, while a set only knows whether something is in it.",
    "def area(width, height):\n    if width < 0 or height < 0:\n        raise "
    "ValueError('negative')\n    return width * height",
    "for name in sorted(names):\n    print(name.strip().title())",
    "SELECT name, count(*) FROM orders WHERE paid = 1 GROUP BY name ORDER BY 2 DESC LIMIT 10;",
    "1. Switch the machine off.\n2. Wait ten minutes until it is cold.\n3. Lift the lid and "
    "take out the filter.",
    "Ingredients: two eggs, 200 g of flour, a pinch of salt, half a litre of milk, butter for the pan.",
    "The old man put down his basket, looked at the sky, and said that the rain would be here by noon.",
    "Nobody had opened the gate for years, and the ivy had grown so thick that it held the hinges fast.",
    "She laughed, shook her head, and went back to the window to see whether the train had come.",
    "It was a cold morning. The fields were white, the river smoked, and a dog barked far away.",
    '"Are you coming?" he asked. "In a minute," she said. "I only have to find my gloves."',
    "Prices rose by 3 percent in the first quarter, more slowly than most economists had expected.",
    "The committee will meet again on Tuesday to decide whether the bridge is to be repaired or replaced.",
    "Researchers compared the two groups over six months and found no difference that chance "
    "would not explain.",
    "The heart has four chambers: two that receive the blood and two that send it out again.",
    "Photosynthesis turns light, water and carbon dioxide into sugar and oxygen.",
    "The French Revolution began in 1789 and changed how people in Europe thought about the state.",
    "The Pacific is the largest ocean; it covers about a third of the surface of the earth.",
    "If x + 3 = 10, then x = 7, because the same number may be taken from both sides.",
    "The sum of the numbers from 1 to 100 is 5050, which one sees by pairing the first with the last.",
    "A prime number has exactly two divisors, one and itself; 2, 3, 5, 7 and 11 are the first of them.",
    "Dear Sir or Madam, I am writing to ask whether the position that you advertised is still open.",
    "Thank you for your order. It will be sent within two working days, and you will get a "
    "message when it leaves.",
    "Keep out of the reach of children. Store in a dry place below 25 degrees. Do not use "
    "after the date on the box.",
    "The tenant shall pay the rent on the first day of each month and shall keep the rooms in good order.",
    "To change a tyre, loosen the nuts before you lift the car, and tighten them again when it "
    "stands on the ground.",
    "A short walk after a meal is good for most people, and costs nothing.",
    "Save early and often: what is not saved is gone when the power fails.",
    "There are three kinds of clouds that one should know: cirrus, cumulus and stratus.",
    "An adjective says what something is like; an adverb says how something is done.",
    "The opposite of hot is cold, the opposite of early is late, and the opposite of empty is full.",
    "Monday, Tuesday, Wednesday, Thursday, Friday, Saturday and Sunday are the days of the week.",
    "Question: What is the capital of Japan?\nAnswer: The capital of Japan is Tokyo.",
    "Question: Why is the sky blue?\nAnswer: Because air scatters short waves of light more than long ones.",
    "Q: How many minutes are in two hours? A: There are 120 minutes in two hours.",
    "Translate to French: Good morning, how are you? Bonjour, comment allez-vous ?",
    '{"name": "lamp", "price": 24.5, "colours": ["white", "black"], "in_stock": true}',
    "# Getting started\n\nInstall the package, write a settings file, and run the command below.",
    "import os\n\nfor root, dirs, files in os.walk('.'):\n    print(root, len(files))",
    "The sea was quiet, the boats lay on the sand, and the children were looking for shells.",
    "Some birds fly thousands of miles every autumn and find the same tree again in spring.",
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
    "The train was late, as it always was in winter, and the passengers stood close to the "
    "stove and said little.",
    "def largest(values):\n    best = values[0]\n    for each in values[1:]:\n        if each "
    "> best:\n            best = each\n    return best",
    "The museum is open from ten to six every day except Monday; children under twelve pay nothing.",
    "Sales of electric cars doubled last year, while those of small petrol cars fell for the "
    "third time in a row.",
    "Sound travels faster in water than in air, and faster still in steel.",
    '"I never said that," the captain answered, and turned to the map on the wall.',
    "The kidneys clean the blood: they keep what the body needs and send the rest away.",
    "1. Read the whole text once.\n2. Underline what you do not understand.\n3. Read it again, more slowly.",
)
