/** Creates an element with its attributes and children. */
export function createElement<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Record<string, string> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Creates a button with a class. */
export function createButton(name: string, text: string, onClick: () => void): HTMLButtonElement {
  const button = createElement("button", { class: name, type: "button" }, text);
  button.addEventListener("click", onClick);
  return button;
}
