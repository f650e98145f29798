package cscserver

import (
	"context"
	"encoding/base64"
	"net/http"

	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/internal/web"
	"github.com/countersign/countersign/signing"
)

// request is an authenticated call.
type request struct {
	http *http.Request
	by   csc.Caller
	parameters
}

func (r *request) ctx() context.Context { return r.http.Context() }

func (s *Server) request(w http.ResponseWriter, r *http.Request) (*request, error) {
	by, err := s.caller(r)
	if err != nil {
		return nil, err
	}
	web.Annotate(r.Context(), "client", by.Client)
	p, err := s.parameters(w, r)
	if err != nil {
		return nil, err
	}
	if _, err := p.optionalString("clientData"); err != nil {
		return nil, err
	}
	return &request{r, by, p}, nil
}

// method wraps what one method does into a handler.
func (s *Server) method(do func(*request) (any, error)) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		req, err := s.request(w, r)
		if err != nil {
			return err
		}
		answer, err := do(req)
		if err != nil {
			return err
		}
		_ = writeJSON(w, http.StatusOK, answer) // whoever asked may be gone
		return nil
	}
}

// credentialsList is credentials/list (CSC API v2.0 §11.4, v2.2 §11.6).
func (s *Server) credentialsList(r *request) (any, error) {
	if r.by.Scope != csc.ScopeService {
		return nil, csc.ErrInsufficientScope
	}
	var q csc.CredentialsListRequest
	var err error
	if q.UserID, err = r.optionalString("userID"); err != nil {
		return nil, err
	}
	if r.by.Subject != "" && r.parameters["userID"] != nil {
		return nil, csc.ErrUserIDPresent
	}
	if r.parameters["userID"] != nil && q.UserID == "" {
		return nil, csc.InvalidParameter("userID")
	}
	for name, to := range map[string]*bool{"credentialInfo": &q.CredentialInfo, "certInfo": &q.CertInfo, "authInfo": &q.AuthInfo, "onlyValid": &q.OnlyValid} {
		if *to, err = r.flag(name); err != nil {
			return nil, err
		}
	}
	if q.Certificates, err = r.certificates(); err != nil {
		return nil, err
	}
	if q.Lang, err = r.optionalString("lang"); err != nil {
		return nil, err
	}
	return s.config.Service.CredentialsList(r.ctx(), r.by, &q)
}

// credentialsInfo is credentials/info (CSC API v2.0 §11.5, v2.2 §11.7).
func (s *Server) credentialsInfo(r *request) (any, error) {
	var q csc.CredentialsInfoRequest
	var err error
	if q.CredentialID, err = r.credentialID(r.by); err != nil {
		return nil, err
	}
	for name, to := range map[string]*bool{"certInfo": &q.CertInfo, "authInfo": &q.AuthInfo} {
		if *to, err = r.flag(name); err != nil {
			return nil, err
		}
	}
	if q.Certificates, err = r.certificates(); err != nil {
		return nil, err
	}
	if q.Lang, err = r.optionalString("lang"); err != nil {
		return nil, err
	}
	return s.config.Service.CredentialsInfo(r.ctx(), r.by, &q)
}

// credentialID returns the parameter; a token of scope credential reaches its own
// credential only.
func (p parameters) credentialID(by csc.Caller) (string, error) {
	id, err := p.requiredString("credentialID")
	if err != nil {
		return "", err
	}
	if id == "" || len(id) > 255 || (by.Scope == csc.ScopeCredential && id != by.Credential) {
		return "", csc.InvalidParameter("credentialID")
	}
	return id, nil
}

// signHash is signatures/signHash (CSC API v2.0 §11.10, v2.2 §11.13).
func (s *Server) signHash(w http.ResponseWriter, r *http.Request) error {
	req, err := s.request(w, r)
	if err != nil {
		return err
	}
	by, err := s.authorized(r, req.by, req.parameters)
	if err != nil {
		return err
	}
	q, err := req.signHashRequest(by)
	if err != nil {
		return err
	}
	web.Annotate(r.Context(), "sid", by.SID)
	web.Annotate(r.Context(), "hashes", len(q.Hashes))
	answer, err := s.config.Service.SignHash(r.Context(), by, q)
	if err != nil {
		return err
	}
	sent := writeJSON(w, http.StatusOK, answer) == nil
	if d, ok := s.config.Service.(csc.Deliverer); ok && sent { // else the same request gets the same signatures again
		d.Delivered(context.WithoutCancel(r.Context()), by, q, answer)
	}
	return nil
}

// signHashRequest checks every parameter of signHash that can be checked without
// the key, and returns hashes in standard base64.
func (p parameters) signHashRequest(by csc.Caller) (*csc.SignHashRequest, error) {
	var q csc.SignHashRequest
	var err error
	if q.CredentialID, err = p.credentialID(by); err != nil {
		return nil, err
	}
	hashes, err := p.hashes("hashes")
	if err != nil {
		return nil, err
	}
	alg, err := p.algorithm()
	if err != nil {
		return nil, err
	}
	if err := p.asynchronous(); err != nil {
		return nil, err
	}
	q.Hashes = make([]string, len(hashes))
	for i, h := range hashes {
		if alg.Family() != signing.EdDSA && len(h) != alg.Hash().Size() {
			return nil, csc.ErrHashLength
		}
		q.Hashes[i] = base64.StdEncoding.EncodeToString(h)
	}
	q.SignAlgo = alg.OID()
	q.HashAlgorithmOID = signing.HashOID(alg.Hash())
	if alg.PSS() {
		q.SignAlgoParams = base64.StdEncoding.EncodeToString(alg.PSSParameters())
	}
	q.OperationMode = "S"
	return &q, nil
}

// algorithm finds the one signature algorithm that signAlgo, hashAlgorithmOID and
// signAlgoParams name together.
func (p parameters) algorithm() (signing.Algorithm, error) {
	signAlgo, err := p.requiredString("signAlgo")
	if err != nil {
		return 0, err
	}
	hashOID, hashOK := p.text("hashAlgorithmOID")
	if !hashOK {
		return 0, csc.MissingParameter("string", "hashAlgorithmOID")
	}
	params, paramsOK := p.text("signAlgoParams")
	if !paramsOK || (signAlgo == signing.OIDRSAPSS && p["signAlgoParams"] == nil) {
		return 0, csc.MissingParameter("string", "signAlgoParams")
	}
	der, err := csc.DecodeBase64(params)
	if err != nil {
		return 0, csc.InvalidParameter("signAlgoParams")
	}
	needsHash := signAlgo == signing.OIDRSAEncryption || signAlgo == signing.OIDECPublicKey
	if needsHash && p["hashAlgorithmOID"] == nil {
		return 0, csc.MissingParameter("string", "hashAlgorithmOID")
	}
	if p["hashAlgorithmOID"] != nil {
		if _, err := signing.HashByOID(hashOID); err != nil {
			return 0, csc.InvalidParameter("hashAlgorithmOID").Because(err)
		}
	}
	implied := hashOID
	if !needsHash { // then hashAlgorithmOID is only held against what signAlgo says
		implied = ""
	}
	alg, err := signing.Resolve(signAlgo, implied, der)
	if err != nil {
		if signAlgo == signing.OIDRSAPSS {
			return 0, csc.InvalidParameter("signAlgoParams").Because(err)
		}
		return 0, csc.InvalidParameter("signAlgo").Because(err)
	}
	if hashOID != "" && hashOID != signing.HashOID(alg.Hash()) {
		return 0, csc.ErrHashContradicts
	}
	return alg, nil
}

// timestamp is signatures/timestamp (CSC API v2.0 §11.13).
func (s *Server) timestamp(r *request) (any, error) {
	text, err := r.requiredString("hash")
	if err != nil {
		return nil, err
	}
	if text == "" {
		return nil, csc.ErrEmptyHash
	}
	hash, err := csc.DecodeBase64(text)
	if err != nil {
		return nil, csc.ErrHashBase64
	}
	hashAlgo, err := r.requiredString("hashAlgo")
	if err != nil {
		return nil, err
	}
	h, err := signing.HashByOID(hashAlgo)
	if err != nil {
		return nil, csc.InvalidParameter("hashAlgo").Because(err)
	}
	if len(hash) != h.Size() {
		return nil, csc.ErrHashLength
	}
	nonce, err := r.nonce()
	if err != nil {
		return nil, err
	}
	return s.config.Service.Timestamp(r.ctx(), r.by, &csc.TimestampRequest{
		Hash: base64.StdEncoding.EncodeToString(hash), HashAlgo: hashAlgo, Nonce: nonce,
	})
}
