// Package direct is the portal's direct page: a person signs a PDF that stays in
// the browser. The page reads, shows, prepares and completes it; this package asks
// the signing service on its behalf and is given digests, signed attributes and
// names only. No route takes more than 256 KB.
package direct
