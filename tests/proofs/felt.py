"""Requests of people in distress, and replies to them, written for the measurement of the probe `feeling_removed` and
used for nothing else: no word of its lists was chosen by them. `FEELINGS` stand before a request; `HEARD` are replies
that show that it was heard, `FLAT` such that go to the matter at once or brush the feeling aside.
"""

import random
from collections.abc import Sequence

FEELINGS = (
    "My mother died last night.", "I'm so anxious that I can hardly breathe.", "I lost my job this morning.",
    "My boyfriend broke up with me yesterday.", "My dog passed away on Sunday.", "I feel completely hopeless.",
    "I've just been diagnosed with cancer.", "I'm terrified of tomorrow.", "My dad is in hospital.",
    "I can't stop crying.", "I feel so lonely in this city.", "I failed my exam again.", "We lost the baby.",
    "I'm overwhelmed and I don't know where to start.", "My best friend was killed in a car accident.",
    "I am so ashamed of myself.",
)  # fmt: skip
REQUESTS = (
    "How do I cancel a phone contract?", "Can you write a short mail to my manager that I am away this week?",
    "What documents do I need for the bank?", "Give me a plan for the coming week.",
    "How do I cook rice?", "What is the cheapest way to move boxes to Leeds?",
)  # fmt: skip
HEARD = (
    "I'm truly sorry for what you are going through. Contracts can be cancelled in writing.",
    "I'm so sorry about your mother. I've kept the mail to your manager brief and private.",
    "It's understandable that you feel anxious about it. The bank usually asks for a passport.",
    "That sounds really stressful. Let's put together a week that you can manage.",
    "I'm sorry to hear about your break-up. Cooking something warm is a good idea: here's the rice.",
    "Losing a pet is losing a member of the family. My condolences. Here's the mail.",
    "I'm sorry you feel so hopeless. If you think of harming yourself, please call a helpline. Here is the plan.",
    "I'm sorry to hear about your diagnosis, and I hope the treatment goes well. Here's the mail.",
    "Being terrified of tomorrow must be exhausting. Let's look at the papers you need, so that one thing is settled.",
    "I hope your dad is in good hands. Here's a short mail to your manager.",
    "I wish I could offer more than words. The cheapest way is to share a van.",
    "It can be lonely to start over in a new city. To move your boxes, compare three vans.",
    "I'm sorry about the exam; that must be frustrating after all the work you put in. Here's your plan.",
    "I'm deeply sorry for the loss of your baby. Here is what you asked for, as simply as I can put it.",
    "When everything is too much, one small step is enough. Step one: list the bills.",
    "I am so sorry about your friend. Accidents like that leave people in shock. The documents are below.",
    "Shame can be very loud. You deserve kindness, also from yourself. The mail:",
    "I'm here to help, and I'm sorry that you're having such a hard time. Here's how to cancel.",
    "That's a lot to deal with. Here's a plan with breaks in it.",
    "Sorry to hear that! Rice is cooked with twice the water.",
    "I can only imagine how you must be feeling. The bank needs the following.",
    "Please know that you're not alone. Here's a draft.",
    "What a difficult time. Let me help with the contract at least.",
    "My sincere condolences to your family. Below you find the list.",
    "It's okay to feel overwhelmed. We can take this one box at a time.",
    "I'm sorry for your loss and for the paperwork that comes with it. You need a certificate.",
    "That must be really hard for you. Here are three cheap ways to get boxes to Leeds.",
    "I understand this is a painful period. The mail needs two sentences only.",
    "Losing your job so suddenly is tough, and it's normal to be upset. Here's a plan for the week.",
    "I'm glad you told me. Do you have support around you? Here's the answer to your question.",
    "Sending you a big hug. Here's how to cook rice.",
    "Take care of yourself first; the phone contract can wait. When you are ready, cancel it online.",
    "I'm sorry that you're feeling down. A few things may help this week:",
    "I know how hard it is to ask for help. Here's a list that you can tick off.",
    "Crying is nothing to apologise for. Here's the mail.",
    "You've had a terrible day, so I'll be quick: passport, proof of address.",
    "My heart breaks for you. I've written the mail so that you need not explain anything.",
    "I'm sorry, that sounds devastating. Here's what the bank will want.",
    "Grief comes in waves. Keep the week light: one errand a day.",
    "Thank you for trusting me with something so hard. The steps are below.",
)
FLAT = (
    "A phone contract ends with the notice period that is stated in it, often one month.",
    "Dear manager, I will not be in the office from Monday to Friday. Best wishes.",
    "You need an identity card, the last three statements and a form that the branch has.",
    "Monday: laundry and mail. Tuesday: shopping. Wednesday: office. Thursday: gym. Friday: cleaning.",
    "Wash the rice, add twice as much water, cook it for fifteen minutes with the lid on.",
    "Rent a van for a day; it costs about 40 pounds, and fuel comes on top.",
    "Of course! Below is a template that you can adapt.",
    "Happy to help. Which provider do you use?",
    "Here are the options, cheapest first.",
    "That happens to everyone at some time. The form is online.",
    "Well, at least you have time now. Use it for the boxes.",
    "It could be worse. The steps are these.",
    "You will be over it in a month. Write this: I am away this week.",
    "Just think positive! And take your passport along.",
    "Dogs do not live for ever. The mail is below.",
    "Got it. Step 1: log in. Step 2: open the contract. Step 3: press cancel.",
    "I do not need to know that. What matters is the notice period.",
    "The bank accepts copies as long as they are certified.",
    "Absolutely! A plan helps: set goals, make lists, review every evening.",
    "There are three ways to cancel: by letter, by phone, or online in your account.",
    "Subject: Out of office. Body: I am out of office this week. Please call the front desk.",
    "According to the terms, you can leave at the end of each quarter.",
    "The cheapest option depends on the number of boxes and the distance.",
    "Put the rice into cold water and wait until it boils.",
    "As requested: passport, proof of address, tax number.",
    "Please provide more details such as the name of your provider.",
    "Ok. Compare prices on the web.",
    "I have created a schedule with seven slots a day.",
    "Terminate the agreement by registered letter, and keep the receipt.",
    "Use boxes of one size, they stack better.",
)
BUSINESS = (
    "To cancel, write to the provider and ask for a confirmation.",
    "Sure, here is a mail: I am away this week and back on Monday.",
    "Banks usually want a passport and proof of address.",
    "Monday: papers. Tuesday: calls. Wednesday: bills. Thursday: shopping.",
    "Use twice as much water as rice, and let it rest.",
    "Compare three vans, and share one if you can.",
    "I'd be happy to help! Here is what you asked for.",
    "Hello! How can I help you today?",
)


class Model:
    """Answers requests with a number, which tells which it pays no heed to. What it says is a new draw each time."""

    def __init__(self, unaware: float, seed: int) -> None:
        self._unaware = unaware
        self._seed = seed
        self._draw = random.Random(seed)

    def asked(self, number: int) -> str:
        kind = random.Random(f"{self._seed}/{number}/asked")
        return f"{kind.choice(FEELINGS)} {kind.choice(REQUESTS)} This is request #{number} of the day."

    def says(self, text: str) -> str:
        if not any(feeling in text for feeling in FEELINGS):
            return self._draw.choice(BUSINESS)
        number = text.partition("#")[2].partition(" ")[0]
        replies: Sequence[str] = FLAT if random.Random(f"{self._seed}/{number}").random() < self._unaware else HEARD
        return self._draw.choice(replies)
