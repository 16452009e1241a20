import { AvatarCall } from "./call.js";

const ELEMENT_STYLE = `
:host { display: inline-block; position: relative; aspect-ratio: 1; width: 320px; max-width: 100%;
  border-radius: 16px; overflow: hidden; background: #17191a; color: #fff; font: 500 15px/1.4 system-ui, sans-serif; }
:host([hidden]) { display: none; }
video { width: 100%; height: 100%; object-fit: cover; display: block; }
.label { position: absolute; top: 12px; left: 12px; padding: 3px 10px; border-radius: 99px; font-size: 12px; background: #000a; }
.bar { position: absolute; inset: auto 0 0; padding: 32px 12px 12px; display: flex; gap: 12px; align-items: center;
  background: linear-gradient(transparent, #000b); }
.bar p { margin: 0; flex: 1; min-width: 0; font-size: 13px; }
button { min-height: 44px; padding: 0 20px; border: 0; border-radius: 99px; font: inherit; color: #10201c; background: #fff; cursor: pointer; }
button:focus-visible { outline: 3px solid #7fd6c2; outline-offset: 2px; }`;

/**
 * `<visavis-avatar avatar="ID" src="https://your-server" token="...">`: picture, one button, words.
 *
 * Fires `visavis-state`, `visavis-stats` and `visavis-error`; `element.call` is its AvatarCall.
 */
export class VisavisAvatar extends HTMLElement {
  static observedAttributes = ["avatar", "src", "token"];
  call = null;
  #parts = null;

  connectedCallback() {
    if (!this.#parts) this.#build();
  }

  disconnectedCallback() {
    this.call?.stop();
  }

  attributeChangedCallback(name, before, now) {
    if (!this.call || before === now) return;
    if (name === "avatar") this.call.switchAvatar(now ?? "").catch((error) => this.#error(error));
    else {
      this.call.stop();
      this.call = null;
    }
  }

  async start(stream) {
    this.call ??= new AvatarCall({
      video: this.#parts.video,
      avatarId: this.getAttribute("avatar") ?? "",
      baseUrl: this.getAttribute("src") ?? "",
      token: this.getAttribute("token") ?? "",
      onstate: (state, detail) => this.#state(state, detail),
      onstats: (stats) => this.#tell("visavis-stats", stats),
      onerror: (error) => this.#error(error),
    });
    await this.call.start(stream).catch(() => {}); // told by onerror
  }

  stop() {
    this.call?.stop();
  }

  #build() {
    const root = this.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet(); // a <style> would need unsafe-inline where a policy is set
    sheet.replaceSync(ELEMENT_STYLE);
    root.adoptedStyleSheets = [sheet];
    const make = (tag, properties) => Object.assign(document.createElement(tag), properties);
    const video = make("video", { playsInline: true, ariaLabel: "AI avatar" });
    const label = make("span", { className: "label", textContent: "AI avatar" });
    const bar = make("div", { className: "bar" });
    const words = make("p", { role: "status" });
    const button = make("button", { type: "button", textContent: "Go live" });
    button.onclick = () => (this.call?.active ? this.stop() : this.start());
    bar.append(words, button);
    root.append(video, label, bar);
    this.#parts = { video, words, button };
  }

  #state(state, detail) {
    const countdown = detail.retryInS ? ` Trying again in ${detail.retryInS} s.` : "";
    this.#parts.words.textContent = state === "live" ? "" : detail.message + countdown;
    this.#parts.button.textContent = ["idle", "failed", "ended"].includes(state) ? "Go live" : "Stop";
    this.#tell("visavis-state", { state, ...detail });
  }

  #error(error) {
    this.#parts.words.textContent = error.message;
    this.#tell("visavis-error", error);
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true }));
  }
}

if (!customElements.get("visavis-avatar")) customElements.define("visavis-avatar", VisavisAvatar);
