// What axe-core has no rule for, measured in a page: borders (WCAG 1.4.11), targets (2.5.8), reflow (1.4.10), text that is set letter by letter.
() => {
  const problems = [];
  const channel = (value) => { const part = value / 255; return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4; };
  const bright = (rgb) => 0.2126 * channel(rgb[0]) + 0.7152 * channel(rgb[1]) + 0.0722 * channel(rgb[2]);
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const known = new Map();
  const colour = (said) => { if (!known.has(said)) known.set(said, painted(said)); return known.get(said); };
  const painted = (said) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = said; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return a < 255 ? null : [r, g, b]; };
  const behind = (node) => { for (let one = node.parentElement; one; one = one.parentElement) {
    const found = colour(getComputedStyle(one).backgroundColor); if (found) return found; } return [255, 255, 255]; };
  const contrast = (one, other) => { const [high, low] = [bright(one), bright(other)].sort((a, b) => b - a); return (high + 0.05) / (low + 0.05); };
  const seen = (node) => node.checkVisibility() && node.getClientRects().length && !node.closest("[hidden], dialog:not([open])");
  const named = (node) => `${node.tagName} ${node.className} "${(node.textContent || node.name || "").trim().slice(0, 30)}"`;
  for (const node of document.querySelectorAll("button, .button, select, input:not([type=hidden]), textarea")) {
    if (!seen(node) || node.disabled || node.type === "range" || node.type === "checkbox" || node.closest(".editor, .choices")) continue;
    const style = getComputedStyle(node), back = behind(node), edge = colour(style.borderTopColor), fill = colour(style.backgroundColor);
    const best = Math.max(edge ? contrast(edge, back) : 1, fill ? contrast(fill, back) : 1);
    if (best < 3) problems.push(`1.4.11 ${named(node)}: ${best.toFixed(2)}`);
  }
  for (const node of document.querySelectorAll("a[href], button, select, input:not([type=hidden]), summary")) {
    if (!seen(node) || node.classList.contains("skip")) continue;
    const box = node.getBoundingClientRect();
    const inline = node.tagName === "A" && getComputedStyle(node).display === "inline" && node.parentElement.textContent.trim() !== node.textContent.trim();
    if (!inline && (box.width < 23.9 || box.height < 23.9)) problems.push(`2.5.8 ${named(node)}: ${box.width.toFixed(0)}x${box.height.toFixed(0)}`);
  }
  for (const node of document.querySelectorAll("li, dt, dd, td, th, p, label, h1, h2, h3, a, button")) {
    const word = Math.max(0, ...(node.textContent.match(/[\p{L}]+/gu) || []).map((one) => one.length));
    if (seen(node) && word > 3 && node.clientWidth && node.clientWidth < 1.5 * parseFloat(getComputedStyle(node).fontSize)) {
      if (!node.closest(".unseen, .skip") && !node.querySelector(".unseen")) problems.push(`letter by letter: ${named(node)}`);
    }
  }
  const scrolls = (node, card) => { for (let one = node; one !== card; one = one.parentElement) {
    if (getComputedStyle(one).overflowX !== "visible") return true; } return false; };
  for (const card of document.querySelectorAll(".card")) {
    const edge = card.getBoundingClientRect().right;
    for (const node of card.querySelectorAll("*")) {
      if (!seen(node) || node.closest(".unseen") || node.getBoundingClientRect().right <= edge || scrolls(node, card)) continue;
      problems.push(`1.4.10 ${named(node)} sticks out of its card`);
    }
  }
  const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  if (wide > 0) problems.push(`1.4.10 wider than the window by ${wide} px`);
  return problems;
}
