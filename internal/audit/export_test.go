package audit

import "time"

// RoundTrip writes an event and reads it back as an auditor does.
func RoundTrip(e Event, at time.Time) (Record, error) {
	b, err := encode(e, at)
	if err != nil {
		return Record{}, err
	}
	return decode(0, b)
}
