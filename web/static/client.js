/**
 * Vis-à-vis in any page: one photo and a microphone become a person who speaks.
 *
 *   import { AvatarCall } from "https://your-server/client.js";
 *   const call = new AvatarCall({ avatarId, video, onstate: (state, detail) => {}, onerror: (error) => {} });
 *   await call.start();          // asks for the microphone; or start(stream) with your own
 *   call.setMuted(true); call.interrupt(); await call.switchAvatar(id); call.stop();
 *
 * or, with its own small interface:  <visavis-avatar avatar="ID" src="https://your-server"></visavis-avatar>
 *
 * Plain modules without dependencies. They talk to the server it was loaded from unless `baseUrl` says
 * otherwise, and to no one else: no telemetry, and no STUN or TURN server but those that its settings name.
 */

export { AvatarCall } from "./static/client/call.js";
export { Avatars } from "./static/client/avatars.js";
export { Recordings } from "./static/client/recordings.js";
export { CallError } from "./static/client/errors.js";
export { VisavisAvatar } from "./static/client/element.js";
export { MOTION_NAMES, decodeMotion } from "./static/client/motion.js";
export { openMedia, openMicrophone } from "./static/client/media.js";
