/// The style sheet of the page around the plots.
enum PageStyle {
  static let rules = """
    * { box-sizing: border-box; }
    body { margin: 0; background: var(--page); color: var(--ink); line-height: 1.45;
      font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
    main { max-width: 1180px; margin: 0 auto; padding: 28px 20px 40px; }
    h1 { font-size: 1.6rem; line-height: 1.2; margin: 0 0 4px; overflow-wrap: anywhere; }
    .setting { margin: 0 0 20px; color: var(--soft); overflow-wrap: anywhere; }
    .card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; margin: 0 0 16px; padding: 14px 16px; }
    .tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(160px, 1fr)); gap: 16px; margin: 0 0 16px; }
    .tile { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 12px 16px; min-width: 0; }
    .tile .label { color: var(--soft); font-size: 0.85rem; }
    .tile .value { font-size: 1.7rem; font-weight: 650; letter-spacing: -0.01em; font-variant-numeric: tabular-nums; }
    .tile .who { font-weight: 600; overflow-wrap: anywhere; }
    .scroll { overflow-x: auto; }
    table { border-collapse: collapse; width: 100%; font-size: 0.92rem; font-variant-numeric: tabular-nums; }
    th, td { padding: 7px 10px; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
    tbody tr:last-child th, tbody tr:last-child td { border-bottom: 0; }
    thead th { color: var(--soft); font-weight: 500; vertical-align: bottom; white-space: normal; }
    th:first-child { text-align: left; position: sticky; left: 0; background: var(--card); padding-left: 0; }
    tbody th { font-weight: 600; }
    td.words { white-space: normal; min-width: 6em; }
    .scroll th:last-child, .scroll td:last-child { padding-right: 4px; }
    td.best, tr.best td { font-weight: 700; background: var(--mark); }
    .dot { display: inline-block; width: 10px; height: 10px; border-radius: 5px; background: currentColor; margin-right: 8px; }
    .note { color: var(--soft); font-weight: 400; font-size: 0.85em; }
    .plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); gap: 16px; }
    figure.card { margin: 0; min-width: 0; } figcaption { font-weight: 600; margin-bottom: 8px; }
    .plots { margin-bottom: 16px; }
    svg.plot { display: block; width: 100%; height: auto; }
    summary { cursor: pointer; font-weight: 600; overflow-wrap: anywhere; } details[open] summary { margin-bottom: 10px; }
    footer { color: var(--soft); font-size: 0.85rem; margin-top: 20px; }
    @media (max-width: 560px) {
      main { padding: 18px 12px 28px; } .card { padding: 12px; } th, td { padding: 7px 9px; }
      .tiles { gap: 10px; }
      th:first-child { min-width: 8.5em; max-width: 46vw; white-space: normal; overflow-wrap: break-word; }
    }
    @media print { body { background: none; } .card, .tile { break-inside: avoid; } }
    """
}
