"""Negotiation: two agents send offers until they meet, walk away or run out of rounds."""

from pydantic import BaseModel

from agentvm import agent, llm, tool

LOG: list[str] = []


class Offer(BaseModel):
    price: int
    message: str


class NoDeal(Exception):
    def __init__(self, side: str, price: int) -> None:
        super().__init__(f"{side} walks away from {price}")
        self.side = side
        self.price = price


@tool
async def sign(buyer: str, seller: str, price: int) -> str:
    LOG.append(f"{buyer} buys from {seller} at {price}")
    return f"contract {len(LOG)}"


@agent
async def respond(side: str, limit: int, heard: Offer) -> Offer:
    mood = await llm(f"{side} feels about {heard.price}")
    if mood == "furious":
        raise NoDeal(side, heard.price)
    return await llm(f"{side} ({mood}, limit {limit}) answers {heard.price}", returns=Offer)


@agent
async def negotiate(low: int, high: int, rounds: int = 5) -> str:
    ask = Offer(price=high * 2, message="opening")
    bid = Offer(price=low // 2, message="opening")
    turn = 0
    try:
        while bid.price < ask.price and turn < rounds:
            if turn % 2 == 0:
                bid = await respond("buyer", high, ask)
            else:
                ask = await respond("seller", low, bid)
            turn += 1
        else:
            if bid.price < ask.price:
                return f"no agreement: {bid.price} / {ask.price}"
    except NoDeal as refusal:
        return f"{refusal} after {turn}"
    return await sign("buyer", "seller", (bid.price + ask.price) // 2)


def script(call):
    words = call.prompt.split()
    if "feels" in call.prompt:
        return "furious" if int(words[-1]) > 900 else "calm"
    limit, heard = int(words[3].strip("),")), int(words[-1])
    price = min(limit, (heard + limit) // 2) if words[0] == "buyer" else max(limit, (heard + limit) // 2)
    return Offer(price=price, message="hm")


CASES = [
    (negotiate, (50, 100), {}),
    (negotiate, (50, 500), {}),
    (negotiate, (100, 60), {"rounds": 6}),
    (negotiate, (200, 60), {"rounds": 2}),
]
