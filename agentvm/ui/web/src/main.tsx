// The page: a bar with the places to go, and the place one is at.
import { render } from "preact";
import { useSignal } from "@preact/signals";
import { locked, online, signIn, signInByAddress } from "./api";
import { theme, type Theme } from "./prefs";
import { href, place, reread } from "./router";
import { DashboardView } from "./views/dashboard";
import { DiffView } from "./views/diff";
import { Button, Dialog, Empty, Problem } from "./views/parts";
import { RunView } from "./views/run";
import { RunsView } from "./views/runs";
import { openStart, starting, StartDialog } from "./views/start";

function Page() {
  const [first, ...rest] = place.value.parts;
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => { event.preventDefault(); const main = document.getElementById("main"); main?.setAttribute("tabindex", "-1"); main?.focus(); }}>Skip to the content</a>
      <header class="bar">
        <a class="brand" href={href([])} aria-label="AgentVM, all runs"><img src="icon.svg" alt="" width={22} height={22} />AgentVM</a>
        <nav aria-label="Main">
          <a href={href([])} aria-current={first === undefined || first === "runs" ? "page" : undefined}>Runs</a>
          <a href={href(["goodput"])} aria-current={first === "goodput" ? "page" : undefined}>Goodput</a>
        </nav>
        <span class="bar-space" />
        {!online.value && <span class="offline" role="status">offline</span>}
        <ThemeToggle />
        <Button kind="primary" class="bar-start" onClick={openStart}>Start a run</Button>
      </header>
      {first === undefined ? <RunsView />
        : first === "runs" && rest[0] ? <RunView key={rest[0]} run={rest[0]} />
        : first === "diff" && rest[0] && rest[1] ? <DiffView key={`${rest[0]} ${rest[1]}`} a={rest[0]} b={rest[1]} />
        : first === "goodput" ? <DashboardView />
        : <main class="page" id="main"><Empty first title="There is nothing here"><a class="button" href={href([])}>See all runs</a></Empty></main>}
      {starting.value && !locked.value && <StartDialog />}
      {locked.value && <TokenDialog />}
    </>
  );
}

const NEXT: Record<Theme, Theme> = { auto: "light", light: "dark", dark: "auto" };
const SIGNS: Record<Theme, string> = { auto: "◐", light: "☀", dark: "☾" };

function ThemeToggle() {
  return <button type="button" class="icon-button" aria-label={`Theme: ${theme.value}. Change it.`} title={`Theme: ${theme.value}`} onClick={() => { theme.value = NEXT[theme.value]; }}>{SIGNS[theme.value]}</button>;
}

function TokenDialog() {
  const typed = useSignal("");
  const problem = useSignal("");
  const send = (event: Event): void => {
    event.preventDefault();
    signIn(typed.value.trim()).then(() => location.reload(), (error: Error) => { problem.value = error.message; });
  };
  return (
    <Dialog title="This server wants a token" onClose={() => { locked.value = false; }}>
      <form class="form" onSubmit={send}>
        <p class="about">It was printed when the server started. The page keeps no copy of it.</p>
        <div class="field"><label for="token">Token</label><input id="token" type="password" autocomplete="off" value={typed.value} onInput={(event) => { typed.value = event.currentTarget.value; }} /></div>
        {problem.value && <Problem message={problem.value} />}
        <footer><Button kind="primary" type="submit">Go on</Button></footer>
      </form>
    </Dialog>
  );
}

addEventListener("keydown", (event) => {
  const target = event.target as HTMLElement;
  if (event.key === "/" && !target.matches("input, textarea, select") && !event.ctrlKey && !event.metaKey) {
    const search = document.querySelector<HTMLInputElement>("[data-search]");
    if (search) {
      event.preventDefault();
      search.focus();
      search.select();
    }
  } else if (event.key === "Escape" && target.matches("[data-search]")) {
    const field = target as HTMLInputElement;
    if (field.value) {
      field.value = "";
      field.dispatchEvent(new Event("input", { bubbles: true }));
    } else field.blur();
  }
});

await signInByAddress();
reread();
render(<Page />, document.getElementById("app")!);
