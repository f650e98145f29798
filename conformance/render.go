package conformance

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"sync"

	"github.com/countersign/countersign/internal/ui"
)

//go:embed report.html
var page string

// What a page begins with, and what stands around the signed report in it.
const (
	pageStart = "<!doctype html>"
	jsonStart = `<script type="application/json" id="countersign-report">`
	jsonEnd   = `</script>`
)

// embedded finds the signed report in a page.
func embedded(data []byte) ([]byte, bool) {
	if !bytes.HasPrefix(data, []byte(pageStart)) {
		return nil, false
	}
	_, rest, ok := bytes.Cut(data, []byte(jsonStart))
	if !ok {
		return nil, false
	}
	inner, _, ok := bytes.Cut(rest, []byte(jsonEnd))
	return inner, ok
}

var pageTemplate = sync.OnceValues(func() (*template.Template, error) {
	return template.New("report").Funcs(template.FuncMap{
		"date": date,
		"hex":  groups,
		"add":  func(a, b, c int) int { return a + b + c },
	}).Parse(page)
})

// groups writes hexadecimal digits in groups of four, as people compare them.
func groups(hex string) string {
	var b bytes.Buffer
	for i := 0; i < len(hex); i += 4 {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(hex[i:min(i+4, len(hex))])
	}
	return b.String()
}

// Render writes a signed report as one HTML page that prints well, needs nothing
// from anywhere, and holds the signed report itself: Verify takes it too.
func Render(s *Signed) ([]byte, error) {
	r, err := parse(s.Report)
	if err != nil {
		return nil, err
	}
	sum, err := digest(s.Report)
	if err != nil {
		return nil, err
	}
	raw, err := s.JSON()
	if err != nil {
		return nil, err
	}
	style, err := ui.Stylesheet()
	if err != nil {
		return nil, fmt.Errorf("render report: %w", err)
	}
	t, err := pageTemplate()
	if err != nil {
		return nil, fmt.Errorf("render report: %w", err)
	}
	var b bytes.Buffer
	err = t.Execute(&b, map[string]any{
		"Style": style, "Report": r, "Evidence": r.Evidence, "SHA256": fmt.Sprintf("%x", sum),
		"JSON": template.JS(raw), //nolint:gosec // encoding/json escapes what would end the element
		"Sections": []section{
			{"gaps", fmt.Sprintf("%d gaps", r.Counts.Gap), "Gap", "", r.Of(Gap)},
			{"proven", fmt.Sprintf("%d proven", r.Counts.Proven), "Proven", "good", r.Of(Proven)},
			{"outside", fmt.Sprintf("%d outside software", r.Counts.Outside), "Outside software", "waiting", r.Of(Outside)},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("render report: %w", err)
	}
	return b.Bytes(), nil
}

// section is the results in one state on the page.
type section struct {
	ID, Title, Word, Class string
	Results                []Result
}
