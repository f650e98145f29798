package approval

import (
	"net/http"
	"strings"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/ui"
	"github.com/countersign/countersign/internal/web"
	"github.com/countersign/countersign/sam/samapi"
)

// problem is how a refusal looks to programs.
type problem struct {
	Kind   string `json:"kind"`
	Code   string `json:"code,omitempty"`
	Detail string `json:"detail"`
}

// failure is what the page shows of a request that cannot be answered.
type failure struct{ Title, Detail, Advice, Support string }

// refuse answers a request that failed: programs as JSON, browsers as a page.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, err error) {
	web.Fail(r.Context(), err)
	f := fault.Of(err)
	if !wantsPage(r) {
		web.WriteJSON(w, r, web.Status(f.Kind), problem{Kind: string(f.Kind), Code: f.Code, Detail: f.Detail})
		return
	}
	v, l := h.begin(r)
	kind := failureKind(f, r)
	c := failure{Title: l.T("failure." + kind), Support: web.RequestID(r.Context())}
	switch kind {
	case "page":
		kind = "unknown"
	case "used":
		c.Advice = l.T("done.close")
	}
	c.Detail = l.T("failure." + kind + ".text")
	if c.Advice == "" {
		c.Advice = l.T("failure." + kind + ".advice")
	}
	v.Title, v.Data = c.Title, &c
	if err := h.pages.Write(w, web.Status(f.Kind), "failure", v); err != nil {
		web.Fail(r.Context(), err)
		http.Error(w, "internal error", http.StatusInternalServerError)
	}
}

// failureKind names the messages of a failure.
func failureKind(f *fault.Error, r *http.Request) string {
	switch {
	case f.Code == samapi.CodeActivation:
		return "enrolment"
	case f.Kind == fault.NotFound && (strings.HasPrefix(r.URL.Path, "/a/") || strings.HasPrefix(r.URL.Path, "/p/")):
		return "unknown"
	case f.Kind == fault.NotFound:
		return "page"
	case f.Code == samapi.CodeOtherBrowser:
		return "elsewhere"
	case f.Code == samapi.CodeUnfinished:
		return "unfinished"
	case f.Code == samapi.CodeHandle:
		return "used"
	case f.Kind == fault.TooMany:
		return "many"
	case f.Kind == fault.Internal || f.Kind == fault.Unavailable:
		return "silent"
	}
	return "other"
}

// begin is a view in the reader's language, before the page's own.
func (h *Handler) begin(r *http.Request, langs ...string) (ui.View, localizer) {
	var wished []string
	for _, l := range langs {
		if l != "" {
			wished = append(wished, strings.Fields(l)...)
		}
	}
	v, l := h.pages.Begin(r, wished...)
	if h.foot == "" {
		v.Foot = l.T("foot")
	}
	return v, l
}
