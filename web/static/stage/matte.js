/** Puts colour and opacity together that travel side by side in one video. */

const VERTEX = `
attribute vec2 place;
varying vec2 at;
void main() {
  at = vec2(0.5 + 0.5 * place.x, 0.5 - 0.5 * place.y);
  gl_Position = vec4(place, 0.0, 1.0);
}`;

// The colour is premultiplied, so it is never brighter than its opacity. Coding leaves a little
// noise where nothing is, and a little less than all where the person is.
const FRAGMENT = `
precision highp float;
uniform sampler2D picture;
uniform vec2 texel;
varying vec2 at;
void main() {
  float x = clamp(at.x, texel.x, 1.0 - texel.x);
  float opacity = texture2D(picture, vec2(0.5 + 0.5 * x, at.y)).g;
  opacity = clamp((opacity - 0.02) / 0.96, 0.0, 1.0);
  vec3 colour = texture2D(picture, vec2(0.5 * x, at.y)).rgb;
  gl_FragColor = vec4(min(colour, vec3(opacity)), opacity);
}`;

export class Matte {
  #video;
  #canvas;
  #gl;
  #texel;
  #stopped = false;

  /** @param {HTMLVideoElement} video @param {HTMLCanvasElement} canvas */
  constructor(video, canvas) {
    this.#video = video;
    this.#canvas = canvas;
    canvas.addEventListener("webglcontextlost", this.#lost);
    canvas.addEventListener("webglcontextrestored", this.#prepare);
    this.#prepare();
    this.#next();
  }

  stop() {
    this.#stopped = true;
    this.#canvas.removeEventListener("webglcontextlost", this.#lost);
    this.#canvas.removeEventListener("webglcontextrestored", this.#prepare);
    if (this.#gl) {
      this.#gl.clearColor(0, 0, 0, 0);
      this.#gl.clear(this.#gl.COLOR_BUFFER_BIT);
    }
  }

  #lost = (event) => {
    event.preventDefault(); // so that it is given back
    this.#gl = null;
  };

  #prepare = () => {
    const gl = this.#canvas.getContext("webgl", {
      alpha: true,
      premultipliedAlpha: true,
      antialias: false,
      preserveDrawingBuffer: true, // a frame that comes late leaves the last one standing
    });
    if (!gl) throw new Error("This browser has no WebGL.");
    const program = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    gl.useProgram(program);
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array([-1, -1, 1, -1, -1, 1, 1, 1]), gl.STATIC_DRAW);
    const place = gl.getAttribLocation(program, "place");
    gl.enableVertexAttribArray(place);
    gl.vertexAttribPointer(place, 2, gl.FLOAT, false, 0, 0);
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    for (const side of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, side, gl.CLAMP_TO_EDGE);
    for (const way of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, way, gl.LINEAR);
    this.#texel = gl.getUniformLocation(program, "texel");
    this.#gl = gl;
  };

  #next() {
    if (this.#stopped) return;
    const again = () => {
      this.#draw();
      this.#next();
    };
    if (this.#video.requestVideoFrameCallback) this.#video.requestVideoFrameCallback(again);
    else requestAnimationFrame(again);
  }

  #draw() {
    const gl = this.#gl;
    const { videoWidth, videoHeight } = this.#video;
    if (!gl || !videoWidth || this.#stopped) return;
    if (this.#canvas.width !== videoWidth / 2 || this.#canvas.height !== videoHeight) {
      this.#canvas.width = videoWidth / 2;
      this.#canvas.height = videoHeight;
    }
    gl.viewport(0, 0, this.#canvas.width, this.#canvas.height);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGB, gl.RGB, gl.UNSIGNED_BYTE, this.#video);
    gl.uniform2f(this.#texel, 1 / this.#canvas.width, 1 / this.#canvas.height);
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
  }
}
