package i18n

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nicksnyder/go-i18n/v2/i18n"
	"github.com/nicksnyder/go-i18n/v2/i18n/template"
)

// Localizer speaks one language of a catalogue. It may be used by many at once.
type Localizer struct {
	catalog   *Catalog
	lang      string
	localizer *i18n.Localizer
}

// parser fails for a value that is missing, where go-i18n would write "<no value>".
var parser = &template.TextParser{Option: "missingkey=error"}

// Lang is the language, as a tag of BCP 47.
func (l *Localizer) Lang() string { return l.lang }

// T is the message of that key. data are names and values of its place holders, in
// turns. Of a message that cannot be said the key is returned, which tests of
// pages see; Say tells why.
func (l *Localizer) T(key string, data ...any) string {
	text, err := l.Say(key, data...)
	if err != nil {
		return key
	}
	return text
}

// N is the message of that key in the plural form for count, which is its place
// holder Count.
func (l *Localizer) N(key string, count int, data ...any) string {
	text, err := l.SayN(key, count, data...)
	if err != nil {
		return key
	}
	return text
}

// Say is T with an error for what is wrong: an unknown key, a missing value.
func (l *Localizer) Say(key string, data ...any) (string, error) {
	values, err := pairs(data)
	if err != nil {
		return "", fmt.Errorf("message %s: %w", key, err)
	}
	return l.localize(&i18n.LocalizeConfig{MessageID: key, TemplateData: values, TemplateParser: parser})
}

// SayN is N with an error for what is wrong.
func (l *Localizer) SayN(key string, count int, data ...any) (string, error) {
	values, err := pairs(data)
	if err != nil {
		return "", fmt.Errorf("message %s: %w", key, err)
	}
	values["Count"] = count
	return l.localize(&i18n.LocalizeConfig{MessageID: key, PluralCount: count, TemplateData: values, TemplateParser: parser})
}

func (l *Localizer) localize(c *i18n.LocalizeConfig) (string, error) {
	if !l.catalog.Has(c.MessageID) {
		return "", fmt.Errorf("there is no message %q", c.MessageID)
	}
	text, err := l.localizer.Localize(c)
	if err != nil {
		return "", fmt.Errorf("message %s: %w", c.MessageID, err)
	}
	return text, nil
}

func pairs(data []any) (map[string]any, error) {
	values := map[string]any{}
	if len(data)%2 != 0 {
		return nil, fmt.Errorf("%d names and values are not pairs", len(data))
	}
	for i := 0; i < len(data); i += 2 {
		name, ok := data[i].(string)
		if !ok {
			return nil, fmt.Errorf("%v is no name", data[i])
		}
		values[name] = data[i+1]
	}
	return values, nil
}

// Raw is the text of a message with its place holders, for scripts that fill them
// in: the form "other", and the form for one if there is one.
func (l *Localizer) Raw(key string) (one, other string) {
	m := l.catalog.messages[l.lang][key]
	if m == nil {
		return "", ""
	}
	return m.One, m.Other
}

// months of the languages in which dates are written out; others get ISO 8601.
var months = map[string][12]string{
	"en": {"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"},
	"de": {"Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober", "November", "Dezember"},
}

// Time is a moment written out, in the time's own zone, which it names.
func (l *Localizer) Time(t time.Time) string { return l.Date(t) + ", " + l.Clock(t) }

// Date is the day of a moment written out, in the time's own zone.
func (l *Localizer) Date(t time.Time) string {
	names, ok := months[l.lang]
	if !ok {
		return t.Format(time.DateOnly)
	}
	day := strconv.Itoa(t.Day())
	if l.lang == "de" {
		day += "."
	}
	return day + " " + names[t.Month()-1] + " " + strconv.Itoa(t.Year())
}

// Clock is the time of day, in the time's own zone, which it names.
func (l *Localizer) Clock(t time.Time) string { return t.Format("15:04 MST") }

// Size is a number of bytes as people read it, in units of 1000.
func (l *Localizer) Size(n int64) string {
	const units = "KMGTPE"
	if n < 1000 {
		return strconv.FormatInt(n, 10) + " bytes"
	}
	v, u := float64(n)/1000, 0
	for v >= 999.5 && u < len(units)-1 {
		v, u = v/1000, u+1
	}
	digits := 0
	if v < 9.95 {
		digits = 1
	}
	s := strconv.FormatFloat(v, 'f', digits, 64)
	if l.lang != "en" {
		s = strings.Replace(s, ".", ",", 1)
	}
	return s + " " + units[u:u+1] + "B"
}
