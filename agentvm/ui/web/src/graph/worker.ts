// Lays graphs out beside the page, which stays usable meanwhile.
import { layout, type SizedPanel } from "./layout";

addEventListener("message", (event: MessageEvent<{ id: number; panel: SizedPanel }>) => {
  const { id, panel } = event.data;
  try {
    postMessage({ id, layout: layout(panel) });
  } catch (error) {
    postMessage({ id, error: String(error) });
  }
});
