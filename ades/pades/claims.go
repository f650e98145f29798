package pades

import (
	"bytes"
	"errors"

	"github.com/countersign/countersign/ades/pdf"
	"github.com/countersign/countersign/internal/fault"
)

// claim is the part of a standard that the metadata claims, 0 for none: written as
// an element or as an attribute.
func claim(xmp []byte, name string) byte {
	for {
		_, rest, ok := bytes.Cut(xmp, []byte(name))
		if !ok {
			return 0
		}
		rest = bytes.TrimLeft(rest, "=>\"' \t\r\n")
		if len(rest) > 0 && '1' <= rest[0] && rest[0] <= '9' {
			return rest[0]
		}
		xmp = rest
	}
}

// The properties by which metadata claim conformance.
const (
	claimPDFA  = "pdfaid:part"
	claimPDFUA = "pdfuaid:part"
)

// metadata is the document's XMP; nil if it has none that can be read, which then
// claims nothing.
func (d *draft) metadata() ([]byte, error) {
	catalog, err := d.f.Catalog()
	if err != nil {
		return nil, err
	}
	obj, err := d.f.Resolve(catalog.Get("Metadata"))
	if err != nil {
		return nil, err
	}
	xmp, ok := obj.(*pdf.Stream)
	if !ok {
		return nil, nil
	}
	data, err := d.f.Decode(xmp)
	if errors.Is(err, fault.Invalid) {
		return nil, nil
	}
	return data, err
}
