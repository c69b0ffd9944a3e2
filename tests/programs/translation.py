"""Translation: into several languages, each checked by translating it back until the meaning survives."""

from agentvm import agent, llm

LOG: list[str] = []


@agent
async def translate(text: str, language: str, tries: int = 3) -> tuple[str, int]:
    hint = ""
    for attempt in range(tries):
        translated = await llm(f"[{language}{hint}] {text}")
        back = await llm(f"[back from {language}] {translated}")
        verdict = await llm(f"Same meaning? {text} | {back}", temperature=0)
        if verdict == "same":
            break
        hint = f", not: {verdict} ({attempt})"
    else:
        return f"(untranslated) {text}", tries
    return translated, attempt + 1


@agent
async def localise(texts: list[str], languages: list[str]) -> dict[str, list[str]]:
    table: dict[str, list[str]] = {}
    for language in languages:
        results = [await translate(text, language) for text in texts]
        poor = [text for text, (_, attempts) in zip(texts, results, strict=True) if attempts > 1]
        table[language] = [translated for translated, _ in results]
        if poor:
            table[f"{language} (review)"] = poor
    return table


def script(call):
    head, _, rest = call.prompt.partition("] ")
    if head.startswith("[back"):
        return rest.removeprefix("~") if "again" in rest else rest
    if head.startswith("["):
        return f"~{rest}" if "not" not in head else f"~{rest} again"
    text, _, back = call.prompt.removeprefix("Same meaning? ").partition(" | ")
    if text == "pun" or len(back) > len(text):
        return "same" if text != "pun" and "again" in back else f"differs by {len(back) - len(text)}"
    return "same"


CASES = [(localise, (["hi", "good day", "pun"], ["fr", "de"]), {}), (translate, ("hi", "it", 0), {})]
