// Keeps the newest words in view while the reader is at the end, and leaves whoever has scrolled up alone.

const NEAR_PX = 96;
const CARD_MARGIN_PX = 16;

/**
 * @param {Element} log what grows
 * @param {Element} dock what covers the end of the page, and grows at times
 * @param {HTMLButtonElement} jump the "latest" button, shown while the reader is elsewhere
 * @returns {() => void} go to the end and follow again
 */
export function followEnd(log, dock, jump) {
  let following = true;
  let lastTop = 0;
  const page = document.scrollingElement;
  const isAtEnd = () => page.scrollHeight - page.scrollTop - innerHeight < NEAR_PX;
  // Whoever gets the card with the numbers reads it from its first word; nothing that comes after pushes it away.
  const startOfCard = () => {
    const card = log.lastElementChild.querySelector(".crisis");
    return card ? page.scrollTop + card.getBoundingClientRect().top - CARD_MARGIN_PX : Infinity;
  };
  const toEnd = () => {
    following = true;
    jump.hidden = true;
    page.scrollTop = page.scrollHeight;
  };
  addEventListener(
    "scroll",
    () => {
      // Growth can outrun the scrolling that follows it; only going up means to stay there.
      following = isAtEnd() || (following && page.scrollTop >= lastTop);
      lastTop = page.scrollTop;
      jump.hidden = following;
    },
    { passive: true },
  );
  const observer = new ResizeObserver(() => {
    if (!log.childElementCount) return; // the start page begins at its beginning
    if (following) page.scrollTop = Math.min(page.scrollHeight, startOfCard());
    else jump.hidden = isAtEnd();
  });
  observer.observe(log);
  observer.observe(dock);
  jump.addEventListener("click", toEnd);
  return toEnd;
}
