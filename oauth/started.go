package oauth

import "net/http"

// StartedBy reports whether a request comes from the browser that started the
// authorization whose approval has that sid, and that still waits for it. An
// approver whose approval comes back through a browser asks this before it takes
// the answer.
func (s *Server) StartedBy(r *http.Request, sid string) (bool, error) {
	if sid == "" {
		return false, nil
	}
	req, err := s.rows.requestBySID(r.Context(), s.db, sid)
	if err != nil || req == nil {
		return false, err
	}
	return req.state == stateWaiting && s.now().Before(req.expires) && s.isBrowser(r, req), nil
}
