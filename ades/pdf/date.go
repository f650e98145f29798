package pdf

import (
	"strconv"
	"strings"
	"time"
)

// ParseDate reads a PDF date (7.9.4).
func ParseDate(s string) (time.Time, bool) {
	s, ok := strings.CutPrefix(s, "D:")
	if !ok || len(s) < 4 {
		return time.Time{}, false
	}
	digits := 0
	for digits < len(s) && digits < 14 && s[digits] >= '0' && s[digits] <= '9' {
		digits++
	}
	const layout = "20060102150405"
	const least = "00000101000000"
	if digits < 4 || digits%2 != 0 {
		return time.Time{}, false
	}
	zone, ok := parseZone(s[digits:])
	if !ok {
		return time.Time{}, false
	}
	t, err := time.ParseInLocation(layout, s[:digits]+least[digits:], zone)
	return t, err == nil
}

func parseZone(s string) (*time.Location, bool) {
	if s == "" || s[0] == 'Z' {
		return time.UTC, true
	}
	clean := strings.ReplaceAll(s[1:], "'", "")
	if (s[0] != '+' && s[0] != '-') || len(clean) < 2 || len(clean) > 4 {
		return nil, false
	}
	clean += "0000"[len(clean):]
	n, err := strconv.Atoi(clean)
	if err != nil || n < 0 || n/100 > 23 || n%100 > 59 {
		return nil, false
	}
	seconds := n/100*3600 + n%100*60
	if s[0] == '-' {
		seconds = -seconds
	}
	return time.FixedZone("", seconds), true
}

// FormatDate writes t as a PDF date in UTC.
func FormatDate(t time.Time) string { return t.UTC().Format("D:20060102150405Z") }
