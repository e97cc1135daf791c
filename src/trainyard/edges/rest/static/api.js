// Shows /openapi.json: methods on the left, one of them on the right, its place in the address. No library, no build.
const spec = await (await fetch("/openapi.json")).json();
const nav = document.querySelector("nav"), main = document.querySelector("main"), search = document.querySelector("#search");
const versions = ["v1", "v1beta1"];
let version = versions.includes(localStorage.version) ? localStorage.version : "v1";

const methods = Object.entries(spec.paths).flatMap(([path, verbs]) =>
  Object.entries(verbs).map(([verb, method]) => ({ path, verb, ...method })));
const byId = new Map(methods.map(method => [method.operationId, method]));

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes))
    key.startsWith("on") ? made.addEventListener(key.slice(2), value) : value !== false && made.setAttribute(key, value === true ? "" : value);
  made.append(...children.flat().filter(child => child != null));
  return made;
}

const resolve = node => node?.$ref ? node.$ref.slice(2).split("/").reduce((at, key) => at[key], spec) : node ?? {};
const named = node => node?.$ref?.split("/").pop();
const shortName = method => method.operationId.replace(/^(v\d\w*|trainyard)\./, "");
const shown = method => { const [first] = method.operationId.split("."); return !versions.includes(first) || first === version; };

function typeOf(schema) {
  const target = resolve(schema);
  if (target.type === "array") return `${typeOf(target.items)}[]`;
  if (schema.$ref) return named(schema);
  if (target.additionalProperties?.type) return `map of ${target.additionalProperties.type}`;
  const type = [target.type ?? "any"].flat().join(" or ");
  return target.format ? `${type} (${target.format})` : target.pattern && !target.enum ? `${type} ${target.examples?.[0] ? `such as ${target.examples[0]}` : ""}` : type;
}

function highlighted(text) {
  const wanted = search.value.trim().toLowerCase(), at = wanted ? text.toLowerCase().indexOf(wanted) : -1;
  return at < 0 ? [text] : [text.slice(0, at), element("mark", {}, text.slice(at, at + wanted.length)), text.slice(at + wanted.length)];
}

// Everything that a method's messages say, for the search; each message is read once, however deep it is nested.
function words(method) {
  const seen = new Set(), parts = [method.operationId, method.path, method.description ?? method.summary];
  const visit = node => {
    if (!node || typeof node !== "object" || (node.$ref && seen.has(node.$ref))) return;
    if (node.$ref) { seen.add(node.$ref); return visit(resolve(node)); }
    for (const [key, value] of Object.entries(node)) { parts.push(key); typeof value === "string" ? key === "name" && parts.push(value) : visit(value); }
  };
  visit(method.requestBody); visit(method.parameters); visit(method.responses["200"]);
  return parts.join(" ").toLowerCase();
}

function list() {
  const wanted = search.value.trim().toLowerCase(), groups = new Map();
  for (const method of methods) {
    method.words ??= words(method);
    if (!shown(method) || /\.\d+$/.test(method.operationId) || (wanted && !method.words.includes(wanted))) continue;
    groups.set(method.tags[0], [...groups.get(method.tags[0]) ?? [], method]);
  }
  nav.replaceChildren(...[...groups].flatMap(([tag, members]) => [
    element("h2", {}, tag), ...members.map(method => element("a", { href: `#${method.operationId}`, "aria-current": location.hash.slice(1) === method.operationId && "page" },
      element("span", { class: `verb ${method.verb}` }, method.verb.toUpperCase()), element("span", {}, highlighted(shortName(method)))))]));
  if (!groups.size) nav.append(element("p", { class: "quiet", style: "padding:0 .6rem" }, "Nothing is called that."));
}

function field(name, schema, required, trail) {
  const target = resolve(schema), inner = target.type === "array" ? target.items : schema, below = resolve(inner);
  const head = [element("span", { class: "field" }, highlighted(name)), element("span", { class: "type" }, typeOf(schema)),
    required && element("span", { class: "tag required" }, "required"), schema.readOnly && element("span", { class: "tag" }, "output only"),
    schema["x-immutable"] && element("span", { class: "tag" }, "immutable"), schema["x-oneof"] && element("span", { class: "tag" }, `one of ${schema["x-oneof"]}`)].filter(Boolean);
  const doc = schema.description ?? target.description, said = doc ? element("p", { class: "doc" }, highlighted(doc)) : null;
  if (below.enum && below["x-values"])
    return element("li", {}, element("details", {}, element("summary", {}, head), said, element("ul", { class: "fields" },
      below.enum.map(value => element("li", {}, element("div", { class: "row" }, element("span", { class: "field" }, value), element("span", { class: "type" }, below["x-values"][value].number)),
        element("p", { class: "doc" }, below["x-values"][value].description))))));
  if (below.properties && !trail.includes(named(inner))) {
    const details = element("details", {}, element("summary", {}, head), said);
    details.addEventListener("toggle", () => details.append(fields(inner, [...trail, named(inner)])), { once: true });
    return element("li", {}, details);
  }
  if (below.enum) head.push(element("span", { class: "type" }, below.enum.join(" · ")));
  return element("li", {}, element("div", { class: "row" }, head), said);
}

function fields(schema, trail = []) {
  const target = resolve(schema), names = Object.keys(target.properties ?? {});
  if (!names.length) return element("p", { class: "quiet" }, "An empty object.");
  return element("ul", { class: "fields" }, names.map(name => field(name, target.properties[name], target.required?.includes(name), trail)));
}

function tryIt(method, parameters) {
  const out = element("div", { "aria-live": "polite" });
  const token = element("input", { type: "password", placeholder: "only with --auth", autocomplete: "off", value: sessionStorage.token ?? "", "aria-label": "token" });
  const inputs = parameters.map(parameter => {
    const remembered = parameter.in === "path" ? sessionStorage[`parameter.${parameter.name}`] ?? (parameter.name === "location" ? "us-central1" : "") : "";
    const choices = parameter.schema.enum ?? (parameter.schema.type === "boolean" ? ["true", "false"] : null);
    const input = choices ? element("select", {}, ["", ...choices].map(choice => element("option", {}, choice)))
      : element("input", { value: remembered, required: parameter.required ?? false, spellcheck: "false", placeholder: parameter.in === "query" ? "" : "required" });
    return [parameter, input];
  });
  const send = async event => {
    event.preventDefault();
    let path = method.path;
    const query = new URLSearchParams();
    for (const [parameter, input] of inputs)
      if (parameter.in === "path") { sessionStorage[`parameter.${parameter.name}`] = input.value; path = path.replace(`{${parameter.name}}`, encodeURIComponent(input.value)); }
      else if (input.value) query.set(parameter.name, input.value);
    sessionStorage.token = token.value;
    const url = path + (query.size ? `?${query}` : ""), began = performance.now();
    try {
      const answer = await fetch(url, { headers: token.value ? { authorization: `Bearer ${token.value}` } : {} });
      const text = await answer.text(), took = (performance.now() - began).toFixed(0);
      out.replaceChildren(element("p", { class: `status${answer.ok ? "" : " bad"}` }, `${answer.status} ${answer.statusText} · ${took} ms`), element("p", { class: "quiet" }, element("code", {}, `GET ${url}`)), element("pre", { tabindex: "0" }, text || "(empty)"));
    } catch (error) {
      out.replaceChildren(element("p", { class: "status bad" }, `No answer: ${error.message}`));
    }
  };
  return [element("h2", { class: "part" }, "Try it"), element("form", { class: "try", onsubmit: send },
    inputs.flatMap(([parameter, input], at) => { input.id = `p${at}`; return [element("label", { for: `p${at}` }, parameter.name), input]; }),
    element("label", {}, "token"), token, element("button", {}, "Send")), out];
}

function show() {
  const method = byId.get(decodeURIComponent(location.hash.slice(1)));
  if (!method) {
    document.title = "Trainyard API";
    main.replaceChildren(element("h1", {}, `${spec.info.title} ${spec.info.version}`), element("p", {}, spec.info.description),
      element("p", {}, "The whole description, for programs: ", element("a", { href: "/openapi.json" }, "/openapi.json"), " (OpenAPI 3.1)."),
      element("p", { class: "quiet" }, `${methods.filter(shown).length} methods. Choose one on the left, or press / and search for a method, a path or a field.`));
    return list();
  }
  document.title = `${shortName(method)} · Trainyard API`;
  const parameters = (method.parameters ?? []).map(resolve), content = method.requestBody?.content["application/json"]?.schema;
  const answer = Object.entries(method.responses["200"]?.content ?? {}), table = kind => parameters.filter(parameter => parameter.in === kind)
    .map(parameter => field(parameter.name, { ...parameter.schema, description: parameter.description }, parameter.required, []));
  const part = (title, items) => items.length ? [element("h2", { class: "part" }, title), element("ul", { class: "fields" }, items)] : [];
  const others = methods.filter(other => other.operationId.replace(/\.\d+$/, "") === method.operationId && other !== method);
  main.replaceChildren(...[element("h1", {}, shortName(method)), element("p", {}, method.description ?? method.summary),
    ...[method, ...others].map(each => element("span", { class: "path" }, element("span", { class: `verb ${each.verb}` }, each.verb.toUpperCase()),
      each.path.split(/(\{\w+\})/).map(piece => piece.startsWith("{") ? element("b", {}, piece) : piece))),
    method["x-permission"] && element("p", { class: "quiet" }, "Permission ", element("code", {}, method["x-permission"])),
    ...part("Path", table("path")), ...part("Query", table("query")),
    ...(content ? [element("h2", { class: "part" }, `Request body${content.$ref ? ` · ${named(content)}` : ""}`), fields(content, [named(content)])] : []),
    ...answer.filter(([, { schema }]) => schema?.$ref || schema?.properties).flatMap(([, { schema }]) => [element("h2", { class: "part" }, `Answer${schema.$ref ? ` · ${named(schema)}` : ""}`), fields(schema, [named(schema)])]),
    ...(method.verb === "get" ? tryIt(method, parameters) : [])].filter(Boolean));
  main.scrollTop = 0;
  list();
}

document.querySelector(".versions").append(...versions.map(each => element("button", { type: "button", "aria-pressed": String(each === version), onclick() {
  const here = location.hash.slice(1).replace(/^v1(beta1)?\./, `${each}.`);
  version = localStorage.version = each;
  for (const button of document.querySelectorAll(".versions button")) button.setAttribute("aria-pressed", String(button.textContent === each));
  byId.has(here) && here !== location.hash.slice(1) ? location.hash = here : list();
} }, each)));
search.addEventListener("input", list);
addEventListener("hashchange", show);
addEventListener("keydown", event => { if (event.key === "/" && !/INPUT|SELECT/.test(document.activeElement.tagName)) { event.preventDefault(); search.focus(); } });
show();
