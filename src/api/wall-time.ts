/** RFC 3339 with milliseconds. Written by hand: Date is the host's. */
export function formatTime(wallMs: number): string {
  const days = Math.floor(wallMs / 86_400_000);
  const rest = wallMs - days * 86_400_000;
  // Civil from days, Howard Hinnant's algorithm: exact for all years we meet.
  const z = days + 719_468;
  const era = Math.floor(z / 146_097);
  const dayOfEra = z - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1_460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365,
  );
  const dayOfYear =
    dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const shifted = Math.floor((5 * dayOfYear + 2) / 153);
  const day = dayOfYear - Math.floor((153 * shifted + 2) / 5) + 1;
  const month = shifted < 10 ? shifted + 3 : shifted - 9;
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0);
  const pad = (value: number, width = 2): string => String(value).padStart(width, '0');
  const time = `${pad(Math.floor(rest / 3_600_000))}:${pad(Math.floor(rest / 60_000) % 60)}:${pad(
    Math.floor(rest / 1_000) % 60,
  )}.${pad(Math.floor(rest % 1_000), 3)}`;
  return `${pad(year, 4)}-${pad(month)}-${pad(day)}T${time}Z`;
}

/** Milliseconds since 1970 of what was written here, finer or without fraction; else NaN. */
export function parseTime(text: string): number {
  const match = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{3})\d*)?Z$/.exec(text);
  if (match === null) return Number.NaN;
  const [year, month, day, hour, minute, second, milli] = match
    .slice(1)
    .map((part) => Number(part));
  const shiftedYear = (month as number) <= 2 ? (year as number) - 1 : (year as number);
  const era = Math.floor(shiftedYear / 400);
  const yearOfEra = shiftedYear - era * 400;
  const monthIndex = ((month as number) + 9) % 12;
  const dayOfYear = Math.floor((153 * monthIndex + 2) / 5) + (day as number) - 1;
  const dayOfEra =
    yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  const days = era * 146_097 + dayOfEra - 719_468;
  return (
    days * 86_400_000 +
    (hour as number) * 3_600_000 +
    (minute as number) * 60_000 +
    (second as number) * 1_000 +
    (Number.isNaN(milli) || milli === undefined ? 0 : milli)
  );
}

/** With microseconds, which Kubernetes demands of a MicroTime: `2026-01-01T00:00:00.000000Z`. */
export function formatMicroTime(wallMs: number): string {
  return formatTime(wallMs).replace(/Z$/, '000Z');
}
