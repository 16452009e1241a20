"""GLSL of the people renderer: a picture and a truth program for each kind of surface."""

SURFACES = ("sheet", "skin", "inside", "eye", "lash")

_VERTEX = """
in vec4 place; in vec3 normal; in vec2 uv; in vec3 tint; in float kind; in vec2 gate;
in vec3 lamp; in vec3 local; in vec4 photo; in vec3 back;
uniform vec3 sh[9];
out vec3 n_; out vec2 uv_; out vec3 tint_; flat out float kind_; out vec2 gate_; out vec3 lamp_;
out vec3 local_; out vec4 photo_; out vec3 view_; out vec3 light_;
vec3 irradiance(vec3 n) {
    return max(sh[0] + sh[1] * n.y + sh[2] * n.z + sh[3] * n.x + sh[4] * n.x * n.y
        + sh[5] * n.y * n.z + sh[6] * (3.0 * n.z * n.z - 1.0) + sh[7] * n.x * n.z
        + sh[8] * (n.x * n.x - n.y * n.y), 0.2);
}
void main() {
    gl_Position = place; n_ = normal; uv_ = uv; tint_ = tint; kind_ = kind; gate_ = gate;
    lamp_ = lamp; local_ = local; photo_ = photo; view_ = back;
#ifdef EYE
    light_ = irradiance(normalize(mix(normal, vec3(0.0, 0.1, 1.0), 0.45)));
#elif defined(INSIDE)
    light_ = irradiance(normalize(mix(normal, vec3(0.0, 0.15, 1.0), 0.3)));
#elif defined(LASH)
    light_ = irradiance(vec3(0.0, 0.3, 0.95));
#else
    light_ = irradiance(normal);
#endif
}
"""

_COMMON = """
in vec3 n_; in vec2 uv_; in vec3 tint_; flat in float kind_; in vec2 gate_; in vec3 lamp_;
in vec3 local_; in vec4 photo_; in vec3 view_; in vec3 light_;
uniform sampler2D atlas; uniform sampler2D sheet; uniform sampler2D lips;
float hash(vec3 p) { return fract(sin(dot(p, vec3(12.99, 78.23, 37.72))) * 43758.55); }
float noise(vec3 p) {
    vec3 i = floor(p), f = fract(p); f = f * f * (3.0 - 2.0 * f);
    return mix(mix(mix(hash(i), hash(i + vec3(1,0,0)), f.x),
                   mix(hash(i + vec3(0,1,0)), hash(i + vec3(1,1,0)), f.x), f.y),
               mix(mix(hash(i + vec3(0,0,1)), hash(i + vec3(1,0,1)), f.x),
                   mix(hash(i + vec3(0,1,1)), hash(i + vec3(1,1,1)), f.x), f.y), f.z);
}
"""

_PICTURE = """
uniform vec3 lamps[3]; uniform vec3 colours[3]; uniform float sizes[3];
uniform vec3 iris; uniform vec3 sclera;
uniform vec4 eye;    // radius of iris and pupil, width of the limbus (radians), a seed
uniform vec4 gloss;  // of skin, lips, teeth, wet flesh
out vec4 colour;
vec3 linear(vec3 c) { return c * (c * (c * 0.305306 + 0.682171) + 0.012523); }
vec3 srgb(vec3 c) {
    vec3 a = sqrt(max(c, 0.0)), b = sqrt(a), d = sqrt(b);
    return 0.585122 * a + 0.783140 * b - 0.368263 * d;
}
vec3 shine(vec3 n, vec3 v, float rough, float f0, float widen, vec3 through) {
    vec3 total = vec3(0.0);
    float nv = max(dot(n, v), 0.05);
    for (int i = 0; i < 3; i++) {
        vec3 l = lamps[i], h = normalize(l + v);
        float nl = max(dot(n, l), 0.0), nh = max(dot(n, h), 0.0), q = 1.0 - max(dot(h, v), 0.0);
        float a = rough * rough, wide = clamp(a + widen * sizes[i] * 0.5, 0.001, 1.0);
        float d = nh * nh * (wide * wide - 1.0) + 1.0;
        float k = rough * 0.5, g = 1.0 / ((nl * (1.0 - k) + k) * (nv * (1.0 - k) + k) * 4.0);
        float F = f0 + (1.0 - f0) * q * q * q * q * q;
        total += colours[i] * through[i] * (nl * g * F * a * a / (3.1416 * d * d) * 1.4);
    }
    return total;
}
#ifdef SHEET
void main() {
    vec4 t = texture(sheet, uv_);
    if (t.a < 0.004) discard;
    colour = vec4(srgb(linear(t.rgb) * light_), t.a);
}
#endif
#ifdef SKIN
void main() {
    vec4 t = texture(atlas, uv_);
    float a = t.a * gate_.y;
    if (a < 0.004) discard;
    vec3 n = normalize(n_), v = normalize(view_);
    float lip = texture(lips, uv_).r, share = gate_.x;
    vec3 red = mix(vec3(1.0, 0.86, 0.82), vec3(1.0), smoothstep(0.0, 0.75, share));
    vec3 open = light_ * share * red;
    vec3 lit = linear(t.rgb) * open;
    float wet = mix(gloss.x, gloss.y, lip);
    lit += shine(n, v, mix(0.48, 0.36, lip), 0.028, 1.0, lamp_ * share) * wet;
    colour = vec4(srgb(lit), a);
}
#endif
#ifdef INSIDE
void main() {
    vec3 n = normalize(n_), v = normalize(view_), base;
    float rough, wet, f0 = 0.042, share = gate_.x;
    if (kind_ > 2.5 && kind_ < 3.5) {
        base = tint_ * (0.96 + 0.07 * noise(local_ * 7.0));
        rough = 0.22; wet = gloss.z;
    } else {
        float grain = noise(local_ * 14.0) * 0.6 + noise(local_ * 31.0) * 0.4;
        // Only the tongue is rough; gums and cheeks are smooth and wet.
        float coarse = kind_ > 4.5 ? 1.0 : 0.35;
        base = tint_ * (1.0 + coarse * (0.34 * grain - 0.18));
        n = normalize(n + 0.3 * coarse * (vec3(grain, noise(local_ * 19.0 + 7.0), 0.5) - 0.5));
        rough = 0.26; wet = gloss.w;
    }
    // What light flesh and teeth hand on inside the mouth is red.
    vec3 red = mix(vec3(1.0, 0.84, 0.80), vec3(1.0), smoothstep(0.0, 0.75, share));
    vec3 open = light_ * share * red;
    open += vec3(0.030, 0.010, 0.008) * (1.0 - share);
    vec3 lit = base * open + shine(n, v, rough, f0, 1.0, lamp_ * share) * wet;
    colour = vec4(srgb(lit), 1.0);
}
#endif
#ifdef EYE
void main() {
    vec3 n = normalize(n_), v = normalize(view_), dir = normalize(local_);
    float r = acos(clamp(dir.z, -1.0, 1.0)), turn = atan(dir.y, dir.x);
    float t = clamp((r - eye.y) / (eye.x - eye.y), 0.0, 1.0);
    float fibre = 0.6 * noise(vec3(cos(turn) * 9.0, sin(turn) * 9.0, eye.w + t * 1.2))
                + 0.4 * noise(vec3(cos(turn) * 22.0, sin(turn) * 22.0, eye.w + 9.0 + t * 2.5));
    vec3 ring = iris * (0.55 + 0.9 * fibre) * mix(1.25, 0.8, t);
    ring *= mix(1.0, 0.38, smoothstep(0.72, 1.0, t));
    ring = mix(vec3(0.006), ring, smoothstep(eye.y - 0.02, eye.y + 0.025, r));
    float vein = noise(dir * 26.0 + eye.w) * noise(dir * 61.0 + eye.w);
    float edge = smoothstep(0.5, 0.95, r);
    vec3 white = sclera * mix(vec3(1.0), vec3(0.98, 0.80, 0.76), edge * (0.35 + 0.9 * vein));
    white = mix(white, sclera * vec3(0.86, 0.56, 0.52), tint_.x);
    vec3 base = mix(ring, white, smoothstep(eye.x - eye.z, eye.x + eye.z, r));
    float shade = gate_.x;
    vec3 lit = base * light_ * mix(0.12, 1.0, shade);
    lit *= mix(vec3(1.0), vec3(1.0, 0.93, 0.90), 1.0 - shade);
    float wet = mix(9.0, 2.0, smoothstep(eye.x, eye.x + 0.12, r));  // the cornea mirrors best
    lit += shine(n, v, 0.13, 0.028, 0.35, lamp_) * wet * smoothstep(0.15, 0.6, shade);
    vec3 mirror = reflect(-v, n);
    float q = 1.0 - max(dot(n, v), 0.0);
    float fresnel = 0.02 + 0.5 * q * q * q * q * q;
    lit += light_ * fresnel * smoothstep(0.0, 0.9, mirror.y) * shade * 0.3;
    colour = vec4(srgb(lit), 1.0);
}
#endif
#ifdef LASH
void main() {
    float a = gate_.y * pow(1.0 - clamp(uv_.y, 0.0, 1.0), 1.5);
    if (a < 0.004) discard;
    colour = vec4(srgb(tint_ * light_ * 0.6), a);
}
#endif
"""

_TRUTH = """
layout(location = 0) out vec4 first; layout(location = 1) out vec4 second;
void main() {
    float what = 6.0;
#ifdef SHEET
    if (texture(sheet, uv_).a < 0.5) discard;
    what = local_.x > 0.5 ? 8.0 : 7.0;
#endif
#ifdef SKIN
    if (texture(atlas, uv_).a * gate_.y < 0.5) discard;
    what = texture(lips, uv_).r > 0.5 ? 2.0 : (local_.y > 9.6 ? 7.0 : 1.0);
#endif
#ifdef INSIDE
    what = kind_ > 4.5 ? 5.0 : (kind_ > 2.5 && kind_ < 3.5 ? 4.0 : 3.0);
#endif
#ifdef LASH
    discard;
#endif
    first = vec4(photo_.xyz, what);
    second = vec4(uv_, photo_.w, 1.0);
}
"""


def sources(surface: str, *, truth: bool) -> tuple[str, str]:
    """Return vertex and fragment shader of one kind of surface."""
    head = f"#version 330\n#define {surface.upper()}\n"
    return head + _VERTEX, head + _COMMON + (_TRUTH if truth else _PICTURE)
