// What every part needs of the document. Text goes in as text, and only where it is another one than before.

export const at = (id) => document.getElementById(id);

export function element(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

export function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
