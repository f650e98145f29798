package web

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Health answers 200 as long as the process can answer at all.
func Health() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		WriteJSON(w, r, http.StatusOK, map[string]string{"status": "ok"})
	})
}

// Checks are the parts that a process needs to do its work, by name. A check
// returns soon after its context ends.
type Checks map[string]func(context.Context) error

// checkTimeout bounds all checks of one request together.
const checkTimeout = 5 * time.Second

// Ready answers 200 when all checks pass and 503 otherwise. The answer names the
// parts that fail; the reasons are in the log record.
func Ready(checks Checks) http.Handler {
	names := slices.Sorted(maps.Keys(checks))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), checkTimeout)
		defer cancel()
		errs := make([]error, len(names))
		var wg sync.WaitGroup
		for i, name := range names {
			wg.Go(func() { errs[i] = checks[name](ctx) })
		}
		wg.Wait()
		status, answer := http.StatusOK, map[string]any{"status": "ready"}
		parts := map[string]string{}
		for i, name := range names {
			parts[name] = "ok"
			if errs[i] != nil {
				parts[name] = "failed"
				errs[i] = fmt.Errorf("%s: %w", name, errs[i])
				status, answer["status"] = http.StatusServiceUnavailable, "not ready"
			}
		}
		if err := errors.Join(errs...); err != nil {
			Fail(r.Context(), err)
		}
		answer["parts"] = parts
		WriteJSON(w, r, status, answer)
	})
}
