package pki

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/web"
	"github.com/countersign/countersign/signing"
)

// maxJSON bounds the JSON bodies: two sealed records with an RSA-4096 key take
// about 6 KB.
const maxJSON = 64 << 10

// Handler serves what the world may see:
//
//	GET  /root.crt /ca.crt           certificates, DER
//	GET  /anchors.pem                the root, PEM
//	GET  /root.crl /ca.crl           revocation lists, DER
//	POST /ocsp, GET /ocsp/{base64}   RFC 6960
//	POST /tsa                        RFC 3161
//	POST /issue                      IssueRequest → Issued
//	GET  /chain/{keyhash}            Issued
//	POST /revoke                     signing.Signed over a Revocation → Revoked
//
// Mount it at the root of its server and not behind a mux that cleans paths: the
// base64 of an OCSP request may have "//" in it.
func (a *Authority) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /root.crt", a.serveBytes("application/pkix-cert", a.root.cert.Raw))
	mux.HandleFunc("GET /ca.crt", a.serveBytes("application/pkix-cert", a.ca.cert.Raw))
	mux.HandleFunc("GET /anchors.pem", a.serveBytes("application/pem-certificate-chain", a.Anchors()))
	mux.HandleFunc("GET /root.crl", a.serveCRL(RoleRoot))
	mux.HandleFunc("GET /ca.crl", a.serveCRL(RoleCA))
	mux.HandleFunc("POST /tsa", a.serveTSA)
	mux.HandleFunc("POST /issue", func(w http.ResponseWriter, r *http.Request) {
		serveJSON(a, w, r, func(in IssueRequest) (Issued, error) { return a.Issue(r.Context(), in) })
	})
	mux.HandleFunc("GET /chain/{keyhash}", func(w http.ResponseWriter, r *http.Request) {
		out, err := a.Chain(r.Context(), r.PathValue("keyhash"))
		a.answer(w, r, out, err)
	})
	mux.HandleFunc("POST /revoke", func(w http.ResponseWriter, r *http.Request) {
		serveJSON(a, w, r, func(in signing.Signed) (Revoked, error) { return a.Revoke(r.Context(), in) })
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if path := r.URL.EscapedPath(); path == "/ocsp" || strings.HasPrefix(path, "/ocsp/") {
			web.SetRoute(r.Context(), "/ocsp")
			a.serveOCSP(w, r, strings.TrimPrefix(strings.TrimPrefix(path, "/ocsp"), "/"))
			return
		}
		if _, pattern := mux.Handler(r); pattern != "" {
			_, path, _ := strings.Cut(pattern, " ")
			web.SetRoute(r.Context(), path)
		}
		mux.ServeHTTP(w, r)
	})
}

func (a *Authority) serveBytes(contentType string, body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Cache-Control", "public, max-age=3600")
		_, _ = w.Write(body)
	}
}

func (a *Authority) serveCRL(issuer Role) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		der, err := a.CRL(r.Context(), issuer)
		if err != nil {
			a.refuse(w, r, err)
			return
		}
		w.Header().Set("Content-Type", "application/pkix-crl")
		w.Header().Set("Cache-Control", "no-cache") // a revocation counts at once
		_, _ = w.Write(der)
	}
}

// serveOCSP takes the request from the body, or base64 from the path (RFC 6960
// appendix A.1). In the path it may be percent-encoded or not.
func (a *Authority) serveOCSP(w http.ResponseWriter, r *http.Request, path string) {
	var request []byte
	switch {
	case r.Method == http.MethodPost && path == "":
		body, err := readBody(w, r, maxOCSPRequest)
		if err != nil {
			a.refuse(w, r, err)
			return
		}
		request = body
	case (r.Method == http.MethodGet || r.Method == http.MethodHead) && path != "":
		request = decodeOCSPPath(path)
	default:
		w.Header().Set("Allow", "GET, POST")
		a.refuse(w, r, fault.New(fault.Invalid, "send the request by POST /ocsp or GET /ocsp/{base64}").WithCode("method"))
		return
	}
	out := a.answerOCSP(r.Context(), request)
	w.Header().Set("Content-Type", "application/ocsp-response")
	w.Header().Set("Cache-Control", "no-store")
	if left := a.answers.life - a.cfg.Now().Sub(out.made); r.Method == http.MethodGet && !out.made.IsZero() && left > 0 {
		// RFC 5019 §6.2, but never longer than our own cache: a revocation shall count soon.
		w.Header().Set("Cache-Control", fmt.Sprintf("public, max-age=%d, no-transform, must-revalidate", int(left.Seconds())))
		w.Header().Set("Last-Modified", out.made.UTC().Format(http.TimeFormat))
	}
	_, _ = w.Write(out.der)
}

// decodeOCSPPath returns nothing, which is a malformed request, when the path
// is not base64.
func decodeOCSPPath(path string) []byte {
	text, err := url.PathUnescape(path)
	if err != nil || len(text) > 2*maxOCSPRequest {
		return nil
	}
	der, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil
	}
	return der
}

func (a *Authority) serveTSA(w http.ResponseWriter, r *http.Request) {
	if media, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); strings.TrimSpace(media) != "application/timestamp-query" {
		a.refuse(w, r, fault.New(fault.Invalid, "send a time-stamp request as application/timestamp-query").WithCode("content_type"))
		return
	}
	body, err := readBody(w, r, maxTSARequest)
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/timestamp-reply")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(a.Timestamp(r.Context(), body))
}

func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, fault.New(fault.TooLarge, "the request is larger than %d bytes", limit)
	}
	if err != nil {
		return nil, fault.New(fault.Invalid, "the request did not arrive whole").Because(err)
	}
	return body, nil
}

// serveJSON reads one JSON value, calls do and writes its answer.
func serveJSON[In, Out any](a *Authority, w http.ResponseWriter, r *http.Request, do func(In) (Out, error)) {
	body, err := readBody(w, r, maxJSON)
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	in, err := decodeJSON[In](body)
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	out, err := do(in)
	a.answer(w, r, out, err)
}

// decodeJSON reads one JSON value and nothing after it, without members that
// are unknown.
func decodeJSON[T any](body []byte) (T, error) {
	var in T
	d := json.NewDecoder(strings.NewReader(string(body)))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return in, fault.New(fault.Invalid, "the body is not the JSON that is expected here").WithCode("json").Because(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return in, fault.New(fault.Invalid, "there is something after the JSON value").WithCode("json")
	}
	return in, nil
}

func (a *Authority) answer(w http.ResponseWriter, r *http.Request, out any, err error) {
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, out)
}

// Failure is how a refusal travels.
type Failure struct {
	Kind   fault.Kind `json:"kind"`
	Code   string     `json:"code,omitempty"`
	Detail string     `json:"detail"`
}

func (a *Authority) refuse(w http.ResponseWriter, r *http.Request, err error) {
	f := fault.Of(err)
	if f.Kind == fault.Internal {
		a.cfg.Logger.ErrorContext(r.Context(), "answer request", "path", r.URL.Path, "error", err)
	}
	writeJSON(w, httpStatus(f), Failure{Kind: f.Kind, Code: f.Code, Detail: f.Detail})
}

func httpStatus(f *fault.Error) int {
	switch f.Code {
	case "method":
		return http.StatusMethodNotAllowed
	case "content_type":
		return http.StatusUnsupportedMediaType
	}
	return web.Status(f.Kind)
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		code, body = http.StatusInternalServerError, []byte(`{"kind":"internal","detail":"internal error"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(code)
	_, _ = w.Write(body)
}
