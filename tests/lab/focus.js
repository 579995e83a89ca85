// What has the focus: whether it is outlined (WCAG 2.4.7), and whether the bar at the top hides it (2.4.11).
() => {
  const node = document.activeElement;
  if (!node || node === document.body) return null;
  const style = getComputedStyle(node), box = node.getBoundingClientRect(), top = document.querySelector(".top");
  const under = top && getComputedStyle(top).position === "sticky" && !top.contains(node) && !node.classList.contains("skip");
  return { name: `${node.tagName} ${node.className} "${(node.textContent || "").trim().slice(0, 30)}"`,
    outlined: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2 || node.closest(".editor") !== null,
    hidden: Boolean(under && box.bottom <= top.getBoundingClientRect().bottom) };
}
