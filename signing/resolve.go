//go:build !assemble

package signing

import (
	"encoding/asn1"
	"fmt"
)

// pssParameters is RSASSA-PSS-params of RFC 4055.
type pssParameters struct {
	Hash    algorithmIdentifier `asn1:"explicit,tag:0,optional"`
	MGF     algorithmIdentifier `asn1:"explicit,tag:1,optional"`
	Salt    int                 `asn1:"explicit,tag:2,optional,default:20"`
	Trailer int                 `asn1:"explicit,tag:3,optional,default:1"`
}

type algorithmIdentifier struct {
	Algorithm  asn1.ObjectIdentifier
	Parameters asn1.RawValue `asn1:"optional"`
}

var oidMGF1 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}

// ParsePSSParameters reads RSASSA-PSS-params and returns the algorithm they
// name. Only parameters with MGF1 over the same digest and a salt of the
// digest's length are accepted; SHA-1 defaults are refused.
func ParsePSSParameters(der []byte) (Algorithm, error) {
	var p pssParameters
	if rest, err := asn1.Unmarshal(der, &p); err != nil || len(rest) > 0 {
		return 0, fmt.Errorf("RSASSA-PSS parameters: malformed: %w", ErrAlgorithm)
	}
	h, err := HashByOID(p.Hash.Algorithm.String())
	if err != nil {
		return 0, fmt.Errorf("RSASSA-PSS parameters: %w", err)
	}
	var mgf algorithmIdentifier
	if !p.MGF.Algorithm.Equal(oidMGF1) {
		return 0, fmt.Errorf("RSASSA-PSS parameters: mask generation is not MGF1: %w", ErrAlgorithm)
	}
	if rest, err := asn1.Unmarshal(p.MGF.Parameters.FullBytes, &mgf); err != nil || len(rest) > 0 || !mgf.Algorithm.Equal(p.Hash.Algorithm) {
		return 0, fmt.Errorf("RSASSA-PSS parameters: MGF1 uses another digest: %w", ErrAlgorithm)
	}
	if p.Salt != h.Size() || p.Trailer != 1 {
		return 0, fmt.Errorf("RSASSA-PSS parameters: salt of %d bytes: %w", p.Salt, ErrAlgorithm)
	}
	for _, e := range algorithms {
		if e.oid == OIDRSAPSS && e.hash == h {
			return e.alg, nil
		}
	}
	return 0, ErrAlgorithm
}

// Resolve finds the algorithm that CSC's signAlgo, hashAlgorithmOID and
// signAlgoParams name together (CSC API v2, signatures/signHash). hashOID may be
// empty where signAlgo implies the digest, and must not contradict it; it is
// required for 1.2.840.113549.1.1.1. RSA-PSS requires params.
func Resolve(signAlgo, hashOID string, params []byte) (Algorithm, error) {
	if signAlgo == OIDRSAPSS {
		if len(params) == 0 {
			return 0, fmt.Errorf("RSA-PSS without signAlgoParams: %w", ErrAlgorithm)
		}
		return ParsePSSParameters(params)
	}
	want := func(f Family) (Algorithm, error) {
		h, err := HashByOID(hashOID)
		if err != nil {
			return 0, err
		}
		for _, e := range algorithms {
			if e.family == f && e.hash == h && e.oid != OIDRSAPSS {
				return e.alg, nil
			}
		}
		return 0, ErrAlgorithm
	}
	switch signAlgo {
	case OIDRSAEncryption:
		return want(RSA)
	case OIDECPublicKey:
		return want(ECDSA)
	}
	for _, e := range algorithms {
		if e.oid != signAlgo {
			continue
		}
		if hashOID != "" && hashOID != HashOID(e.hash) {
			return 0, fmt.Errorf("%s with digest %q: %w", e.name, hashOID, ErrAlgorithm)
		}
		return e.alg, nil
	}
	return 0, fmt.Errorf("signature algorithm %q: %w", signAlgo, ErrAlgorithm)
}
