/** Changes as they happen: one event stream, batched twice a second. It closes when the page is hidden or shows the past. */
import { address } from "./api";
import type { Box, Change } from "./types";

export type LiveState = "off" | "connecting" | "open" | "broken";

export interface LiveEvents {
  changes(batch: Map<string, Change>): void;
  state(now: LiveState): void;
  /** The server dropped events because this client was too slow: ask for everything again. */
  lagged(): void;
}

const FLUSH_MS = 500;
/** More waiting changes than this means that drawing is slower than the city: the tiles are fetched again instead. */
const WAITING_MAX = 20_000;

export class Live {
  private stream: EventSource | null = null;
  private waiting = new Map<string, Change>();
  private timer: ReturnType<typeof setInterval> | undefined;
  private url = "";
  private readonly events: LiveEvents;

  constructor(events: LiveEvents) {
    this.events = events;
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) this.close();
      else if (this.url) {
        this.connect();
        this.events.lagged();
      }
    });
  }

  /** Follows one product, in a box if given. */
  open(product: string, box: Box | null): void {
    const url = address("/api/twin/events", { product, bbox: box?.map((n) => n.toFixed(4)).join(",") ?? null });
    if (url === this.url && this.stream) return;
    this.url = url;
    this.connect();
  }

  stop(): void {
    this.url = "";
    this.close();
    this.events.state("off");
  }

  private close(): void {
    this.stream?.close();
    this.stream = null;
    clearInterval(this.timer);
    this.waiting.clear();
  }

  private connect(): void {
    this.close();
    if (document.hidden) return;
    this.events.state("connecting");
    const stream = new EventSource(this.url);
    stream.addEventListener("open", () => this.events.state("open"));
    stream.addEventListener("change", (event: MessageEvent<string>) => this.take(event.data));
    stream.addEventListener("lagged", () => this.events.lagged());
    stream.addEventListener("error", () => this.failed(stream));
    this.stream = stream;
    this.timer = setInterval(() => this.flush(), FLUSH_MS);
  }

  /** The browser retries by itself, but not after an HTTP error: then we do. */
  private failed(stream: EventSource): void {
    this.events.state("broken");
    if (stream.readyState !== EventSource.CLOSED) return;
    const url = this.url;
    setTimeout(() => {
      if (this.stream === stream && this.url === url) this.connect();
    }, 5000);
  }

  private take(data: string): void {
    const change = JSON.parse(data) as Change;
    this.waiting.set(change.id, change);
    if (this.waiting.size > WAITING_MAX) {
      this.waiting.clear();
      this.events.lagged();
    }
  }

  private flush(): void {
    if (this.waiting.size === 0) return;
    const batch = this.waiting;
    this.waiting = new Map();
    this.events.changes(batch);
  }
}
