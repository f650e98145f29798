package federation_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/ades/adestest"
	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/federation"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/signing"
)

// holder is a service that holds credentials of one certificate.
type holder struct {
	pki       *adestest.PKI
	key       crypto.Signer
	ids       []string
	twist     func(sigs []string) []string
	described int
	signed    []string
	delivered int
}

func newHolder(t *testing.T, ids ...string) *holder {
	p := adestest.New(t, adestest.Config{})
	return &holder{pki: p, key: p.Signer.Key, ids: ids}
}

func (h *holder) CredentialsList(_ context.Context, _ csc.Caller, q *csc.CredentialsListRequest) (*csc.CredentialsListResponse, error) {
	out := &csc.CredentialsListResponse{CredentialIDs: h.ids, OnlyValid: q.OnlyValid}
	for _, id := range h.ids {
		if q.CredentialInfo {
			out.CredentialInfos = append(out.CredentialInfos, csc.CredentialInfo{CredentialID: id})
		}
	}
	return out, nil
}

func (h *holder) CredentialsInfo(context.Context, csc.Caller, *csc.CredentialsInfoRequest) (*csc.CredentialInfo, error) {
	h.described++
	return &csc.CredentialInfo{Cert: csc.CertInfo{Certificates: []string{base64.StdEncoding.EncodeToString(h.pki.Signer.Cert.Raw)}}}, nil
}

func (h *holder) SignHash(_ context.Context, _ csc.Caller, q *csc.SignHashRequest) (*csc.SignHashResponse, error) {
	out := &csc.SignHashResponse{}
	for _, text := range q.Hashes {
		digest, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, err
		}
		sig, err := h.key.Sign(rand.Reader, digest, crypto.SHA256)
		if err != nil {
			return nil, err
		}
		h.signed = append(h.signed, text)
		out.Signatures = append(out.Signatures, base64.StdEncoding.EncodeToString(sig))
	}
	if h.twist != nil {
		out.Signatures = h.twist(out.Signatures)
	}
	return out, nil
}

func (h *holder) Timestamp(context.Context, csc.Caller, *csc.TimestampRequest) (*csc.TimestampResponse, error) {
	return &csc.TimestampResponse{Timestamp: "x"}, nil
}

func (h *holder) Delivered(context.Context, csc.Caller, *csc.SignHashRequest, *csc.SignHashResponse) {
	h.delivered++
}

// recorder keeps receipts in memory and can fail.
type recorder struct {
	err  error
	kept []federation.Receipt
}

func (r *recorder) Record(_ context.Context, x federation.Receipt) error {
	if r.err == nil {
		r.kept = append(r.kept, x)
	}
	return r.err
}

var alice = csc.Caller{Org: "org", Client: "rp", Subject: "alice", Scope: csc.ScopeCredential, Credential: "local-1", SID: "sid-1"}

func ask(credential string, texts ...string) *csc.SignHashRequest {
	q := &csc.SignHashRequest{CredentialID: credential, SignAlgo: signing.ECDSAWithSHA256.OID(), HashAlgorithmOID: signing.OIDSHA256}
	for _, text := range texts {
		sum := sha256.Sum256([]byte(text))
		q.Hashes = append(q.Hashes, base64.StdEncoding.EncodeToString(sum[:]))
	}
	return q
}

func newRouter(t *testing.T, c federation.Config) *federation.Router {
	t.Helper()
	r, err := federation.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestCredentialsGoToWhoHoldsThem(t *testing.T) {
	local, peer, inner := newHolder(t, "local-1", "peer:9"), newHolder(t, "peer:1", "local-2"), newHolder(t, "peer:x:1")
	rec := &recorder{}
	r := newRouter(t, federation.Config{Local: local, Recorder: rec, Routes: []federation.Route{
		{Prefix: "peer:", Name: "peer", Service: peer}, {Prefix: "peer:x:", Name: "inner", Service: inner},
	}})
	for id, want := range map[string]*holder{"local-1": local, "anything": local, "peer:1": peer, "peer:": peer, "peer:x:1": inner} {
		by := alice
		by.Credential = id
		before := len(want.signed)
		if _, err := r.SignHash(t.Context(), by, ask(id, id)); err != nil {
			t.Fatalf("%s: %v", id, err)
		}
		if len(want.signed) != before+1 {
			t.Errorf("%s was signed elsewhere", id)
		}
	}
	list, err := r.CredentialsList(t.Context(), alice, &csc.CredentialsListRequest{CredentialInfo: true})
	if err != nil {
		t.Fatal(err)
	}
	// A service cannot claim what is routed to another.
	if diff := cmp.Diff([]string{"local-1", "peer:1", "peer:x:1"}, list.CredentialIDs); diff != "" || len(list.CredentialInfos) != 3 {
		t.Error(diff, list.CredentialInfos)
	}
	r.Delivered(t.Context(), alice, ask("peer:1"), &csc.SignHashResponse{})
	if peer.delivered != 1 || local.delivered != 0 {
		t.Error("the delivery was told to another")
	}
}

func TestRouteNamedLikeAnotherListsItsOwnOnly(t *testing.T) {
	local, peer := newHolder(t, "local-1"), newHolder(t, "peer:1", "local-2")
	r := newRouter(t, federation.Config{Local: local, Recorder: &recorder{}, Routes: []federation.Route{{Prefix: "peer:", Name: "local", Service: peer}}})
	list, err := r.CredentialsList(t.Context(), alice, &csc.CredentialsListRequest{CredentialInfo: true})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"local-1", "peer:1"}, list.CredentialIDs); diff != "" || len(list.CredentialInfos) != 2 {
		t.Error(diff, list.CredentialInfos)
	}
}

func TestReceiptSaysWhatWasPassedOn(t *testing.T) {
	local, rec := newHolder(t, "local-1"), &recorder{}
	now := time.Unix(1_800_000_000, 0)
	r := newRouter(t, federation.Config{Local: local, Recorder: rec, Now: func() time.Time { return now }})
	if _, err := r.SignHash(t.Context(), alice, ask("local-1", "a", "b")); err != nil {
		t.Fatal(err)
	}
	if _, err := r.SignHash(t.Context(), alice, ask("local-1", "b", "a")); err != nil {
		t.Fatal(err)
	}
	if len(rec.kept) != 2 || local.described != 1 {
		t.Fatalf("%d receipts, the credential was described %d times", len(rec.kept), local.described)
	}
	got, other := rec.kept[0], rec.kept[1]
	if got.ID == other.ID || got.Binding != other.Binding || got.Signatures == other.Signatures {
		t.Errorf("receipts %+v and %+v", got, other)
	}
	if got.Cert != sha256.Sum256(local.pki.Signer.Cert.Raw) || got.Count != 2 || got.Service != "local" || got.SID != "sid-1" || got.Org != "org" || !got.Time.Equal(now) {
		t.Errorf("receipt %+v", got)
	}
}

func TestWrongSignatureIsNotPassedOn(t *testing.T) {
	other := adestest.NewKey(t, signing.P256)
	twists := map[string]func(h *holder){
		"of another key":  func(h *holder) { h.key = other },
		"in other order":  func(h *holder) { h.twist = func(s []string) []string { return []string{s[1], s[0]} } },
		"one too few":     func(h *holder) { h.twist = func(s []string) []string { return s[:1] } },
		"one too many":    func(h *holder) { h.twist = func(s []string) []string { return append(s, s[0]) } },
		"no base64":       func(h *holder) { h.twist = func(s []string) []string { return []string{s[0], "***"} } },
		"of another hash": func(h *holder) { h.twist = func(s []string) []string { return []string{s[0], s[0]} } },
	}
	for name, twist := range twists {
		t.Run(name, func(t *testing.T) {
			local, rec := newHolder(t, "local-1"), &recorder{}
			r := newRouter(t, federation.Config{Local: local, Recorder: rec})
			if _, err := r.SignHash(t.Context(), alice, ask("local-1", "a", "b")); err != nil { // now the certificate is known
				t.Fatal(err)
			}
			twist(local)
			if out, err := r.SignHash(t.Context(), alice, ask("local-1", "a", "b")); err == nil {
				t.Errorf("passed on %+v", out)
			}
			if len(rec.kept) != 1 {
				t.Errorf("%d receipts", len(rec.kept))
			}
		})
	}
}

func TestNoSignatureWithoutReceipt(t *testing.T) {
	boom := errors.New("disk full")
	r := newRouter(t, federation.Config{Local: newHolder(t, "local-1"), Recorder: &recorder{err: boom}})
	if _, err := r.SignHash(t.Context(), alice, ask("local-1", "a")); !errors.Is(err, boom) {
		t.Errorf("error %v", err)
	}
}

func TestNewCertificateOfACredentialIsNoticed(t *testing.T) {
	local, rec := newHolder(t, "local-1"), &recorder{}
	r := newRouter(t, federation.Config{Local: local, Recorder: rec})
	for range 2 {
		if _, err := r.SignHash(t.Context(), alice, ask("local-1", "a")); err != nil {
			t.Fatal(err)
		}
		local.pki = adestest.New(t, adestest.Config{})
		local.key = local.pki.Signer.Key
	}
	if rec.kept[0].Cert == rec.kept[1].Cert {
		t.Error("the receipt names the old certificate")
	}
}

func TestReceiptsStayWithTheirOrganisation(t *testing.T) {
	t.Attr("control", "A14")
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s, err := federation.NewStore(t.Context(), db)
		if err != nil {
			t.Fatal(err)
		}
		want := federation.Receipt{
			ID: store.NewID(), Org: "org", Time: time.Unix(1_800_000_000, 123000).UTC(), Client: "rp", SID: "sid", Credential: "c", Service: "local",
			Algorithm: signing.ECDSAWithSHA256, Count: 3, Binding: sha256.Sum256([]byte("b")), Cert: sha256.Sum256([]byte("c")), Signatures: sha256.Sum256([]byte("s")),
		}
		other := want
		other.ID, other.Org = store.NewID(), "other"
		for _, r := range []federation.Receipt{want, other} {
			if err := s.Record(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
		for org, kept := range map[string][]federation.Receipt{"org": {want}, "other": {other}, "third": nil} {
			got, err := s.Receipts(t.Context(), org, "sid")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(kept, got); diff != "" {
				t.Errorf("%s: %s", org, diff)
			}
		}
		if err := s.Record(t.Context(), want); !store.IsUnique(err) {
			t.Errorf("the same receipt twice: %v", err)
		}
	})
}

func TestRoutesThatContradict(t *testing.T) {
	h, rec := newHolder(t), &recorder{}
	for name, c := range map[string]federation.Config{
		"no local":    {Recorder: rec},
		"no recorder": {Local: h},
		"no prefix":   {Local: h, Recorder: rec, Routes: []federation.Route{{Name: "a", Service: h}}},
		"twice":       {Local: h, Recorder: rec, Routes: []federation.Route{{Prefix: "a", Name: "a", Service: h}, {Prefix: "a", Name: "b", Service: h}}},
	} {
		if _, err := federation.New(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
