// The PromQL of the numbers.

const quote = (text) => `"${text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll('"', '\\"')}"`;

// tokencost_NAME{LABELS}
export function metric(name, labels = {}) {
  const pairs = Object.entries(labels).map(([label, value]) => `${label}=${quote(value)}`);
  return `tokencost_${name}${pairs.length ? `{${pairs.join(",")}}` : ""}`;
}

// A counter since the ledger began.
export const total = (name, labels) => `sum(${metric(`${name}_total`, labels)})`;

// How far it moved in the last hour, or for as long as this process remembers.
export const moved = (name, c, labels) => `sum(increase(${metric(`${name}_total`, labels)}[${c.span}]))`;
// Of the tokens those with a price, where there are others.
export const priced = (c, others, labels) =>
  others ? `(${moved("tokens", c, labels)} - ${moved("unpriced_tokens", c, labels)})` : moved("tokens", c, labels);
export const hourly = (name, c, labels) => `sum(rate(${metric(`${name}_total`, labels)}[${c.span}])) * 3600`;
