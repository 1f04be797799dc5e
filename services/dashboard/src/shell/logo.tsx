/** The mark with the name. */
export function Logo() {
  return (
    <span className="logo">
      <svg viewBox="0 0 32 20" width="28" height="18" aria-hidden="true">
        <path
          d="M1 12h6l4-10 6 16 5-12 3 6h6"
          fill="none"
          stroke="currentColor"
          strokeWidth="2.6"
          strokeLinecap="round"
          strokeLinejoin="round"
        />
      </svg>
      Tickwire
    </span>
  );
}
