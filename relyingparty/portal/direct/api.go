package direct

import (
	"context"
	"crypto/x509"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/web"
	"github.com/countersign/countersign/relyingparty/signer"
)

// operation is one route of the API: who asks, and the request.
type operation func(r *http.Request, browser string) (any, error)

// answer runs an operation for a browser that has been to the page.
func (d *Direct) answer(do operation) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := browser(r)
		if who == "" {
			web.Problem(w, r, fault.New(fault.Unauthenticated, "open the page first; it needs cookies").WithCode("no_session"))
			return
		}
		v, err := do(r, who)
		if err != nil {
			web.Problem(w, r, err)
			return
		}
		web.WriteJSON(w, r, http.StatusOK, v)
	})
}

func (d *Direct) service(ctx context.Context) (Service, error) { return d.config.Service(ctx) }

// credentialView is a credential as the page shows and needs it. Byte slices are
// standard base64 in JSON.
type credentialView struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	Description string    `json:"description,omitempty"`
	Issuer      string    `json:"issuer"`
	Ends        time.Time `json:"ends"`
	SCAL        string    `json:"scal,omitempty"`
	Qualifier   string    `json:"qualifier,omitempty"`
	Algorithm   string    `json:"algorithm"`
	Chain       [][]byte  `json:"chain"`
}

// credentials lists what can sign.
func (d *Direct) credentials(r *http.Request, _ string) (any, error) {
	s, err := d.service(r.Context())
	if err != nil {
		return nil, err
	}
	list, err := s.Credentials(r.Context())
	if err != nil {
		return nil, err
	}
	views := []credentialView{}
	for _, c := range list {
		v := credentialView{
			ID: c.ID, Name: c.Leaf().Subject.CommonName, Description: c.Description, Issuer: c.Leaf().Issuer.CommonName, Ends: c.Ends(),
			SCAL: c.SCAL, Qualifier: c.Qualifier, Algorithm: c.Algorithm.String(),
		}
		for _, cert := range c.Chain {
			v.Chain = append(v.Chain, cert.Raw)
		}
		views = append(views, v)
	}
	return map[string]any{"credentials": views}, nil
}

// document is what the page says of a document: never more than this.
type document struct {
	Label            string `json:"label"`
	Size             int64  `json:"size"`
	DTBSR            []byte `json:"dtbsr"`
	SignedAttributes []byte `json:"signedAttributes"`
	Digest           []byte `json:"digest"`
}

// maxAttributes is larger than signed attributes ever are.
const maxAttributes = 16 << 10

func (x document) check() error {
	ok := slices.Contains([]int{32, 48, 64}, len(x.DTBSR)) && len(x.Digest) == len(x.DTBSR) &&
		len(x.SignedAttributes) > 0 && len(x.SignedAttributes) <= maxAttributes && x.Label != "" && len(x.Label) <= 512 && x.Size > 0
	if !ok {
		return fault.New(fault.Invalid, "a document is described by its name, its size, and digests of 32, 48 or 64 bytes").WithCode("document")
	}
	return nil
}

// authorize asks for an approval and says where the signer goes for it.
func (d *Direct) authorize(r *http.Request, who string) (any, error) {
	var q struct {
		Credential string     `json:"credential"`
		Documents  []document `json:"documents"`
	}
	if err := web.ReadStrictJSON(r, &q); err != nil {
		return nil, err
	}
	s, err := d.service(r.Context())
	if err != nil {
		return nil, err
	}
	c, err := s.Credential(r.Context(), q.Credential)
	if err != nil {
		return nil, err
	}
	x := request{Credential: c.ID}
	for _, doc := range q.Documents {
		if err := doc.check(); err != nil {
			return nil, err
		}
		x.Documents = append(x.Documents, signer.Digests{Label: doc.Label, Size: doc.Size, DTBSR: doc.DTBSR, SignedAttributes: doc.SignedAttributes, Document: doc.Digest})
	}
	if x.Authorization, err = s.Begin(r.Context(), c, x.Documents); err != nil {
		return nil, err
	}
	if err := d.rows.add(r.Context(), who, x); err != nil {
		return nil, err
	}
	return map[string]any{"state": x.Authorization.State, "url": x.Authorization.URL}, nil
}

// completing says whether the browser has a signature to complete. Time-stamps cost,
// and asking for validation data makes this process ask others: neither is there for
// whoever comes along.
func (d *Direct) completing(ctx context.Context, who, state string) error {
	x, err := d.rows.find(ctx, who, state)
	if err != nil {
		return err
	}
	if x.Phase != signed {
		return fault.New(fault.Forbidden, "this is there for a document that was signed, to complete it").WithCode("not_signed")
	}
	return nil
}

// timestamp passes a request for a token on. The page checks what comes back.
func (d *Direct) timestamp(r *http.Request, who string) (any, error) {
	var q struct {
		State   string `json:"state"`
		Imprint []byte `json:"imprint"`
		Hash    string `json:"hash"`
		Nonce   string `json:"nonce"`
	}
	if err := web.ReadStrictJSON(r, &q); err != nil {
		return nil, err
	}
	if err := d.completing(r.Context(), who, q.State); err != nil {
		return nil, err
	}
	s, err := d.service(r.Context())
	if err != nil {
		return nil, err
	}
	token, err := s.Token(r.Context(), q.Imprint, q.Hash, q.Nonce)
	if err != nil {
		return nil, err
	}
	return map[string]any{"token": token}, nil
}

// evidence gathers OCSP answers and CRLs for certificates.
func (d *Direct) evidence(r *http.Request, who string) (any, error) {
	var q struct {
		State  string   `json:"state"`
		Leaves [][]byte `json:"leaves"`
		Known  [][]byte `json:"known"`
	}
	if err := web.ReadStrictJSON(r, &q); err != nil {
		return nil, err
	}
	if err := d.completing(r.Context(), who, q.State); err != nil {
		return nil, err
	}
	s, err := d.service(r.Context())
	if err != nil {
		return nil, err
	}
	leaves, err := parse(q.Leaves)
	if err != nil {
		return nil, err
	}
	known, err := parse(q.Known)
	if err != nil {
		return nil, err
	}
	e, err := s.Evidence(r.Context(), leaves, known)
	if err != nil {
		return nil, err
	}
	return map[string]any{"certificates": e.Certs, "crls": e.CRLs, "ocsps": e.OCSPs}, nil
}

func parse(list [][]byte) ([]*x509.Certificate, error) {
	certs := make([]*x509.Certificate, 0, len(list))
	for _, der := range list {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fault.New(fault.Invalid, "a certificate cannot be read").WithCode("certificate").Because(err)
		}
		certs = append(certs, c)
	}
	return certs, nil
}

// anchors are the certificates in which this installation trusts.
func (d *Direct) anchors(*http.Request, string) (any, error) {
	list := [][]byte{}
	for _, c := range d.config.Anchors {
		list = append(list, c.Raw)
	}
	return map[string]any{"anchors": list}, nil
}

// forget deletes what is kept of a signing that is over for its browser.
func (d *Direct) forget(r *http.Request, who string) (any, error) {
	var q struct {
		State string `json:"state"`
	}
	if err := web.ReadStrictJSON(r, &q); err != nil {
		return nil, err
	}
	return struct{}{}, d.rows.forget(r.Context(), who, q.State)
}

// returned checks the address on which the browser came back; only its query counts.
func (d *Direct) returned(address string) (final string, err error) {
	u, err := url.Parse(address)
	if err != nil || u.Path != ReturnPath || len(address) > 8<<10 {
		return "", fault.New(fault.Invalid, "this is not the address to which approvals come back").WithCode("address")
	}
	return d.config.Origin + ReturnPath + "?" + u.RawQuery, nil
}
