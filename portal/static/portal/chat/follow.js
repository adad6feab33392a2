// Keeps the newest words in view while the reader is at the end, and leaves whoever has scrolled up alone.

const NEAR_PX = 96;

/**
 * @param {Element} content what grows
 * @param {HTMLButtonElement} jump the "latest" button, shown while the reader is elsewhere
 * @returns {() => void} go to the end and follow again
 */
export function followEnd(content, jump) {
  let following = true;
  let lastTop = 0;
  const page = document.scrollingElement;
  const isAtEnd = () => page.scrollHeight - page.scrollTop - innerHeight < NEAR_PX;
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
  new ResizeObserver(() => {
    if (following) page.scrollTop = page.scrollHeight;
    else jump.hidden = isAtEnd();
  }).observe(content);
  jump.addEventListener("click", toEnd);
  return toEnd;
}
