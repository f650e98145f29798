package frame

import (
	"mime"
	"net/http"
	"time"

	"github.com/countersign/countersign/relyingparty/request"
)

// slowest is how long a browser may take to fetch a file.
const slowest = 15 * time.Minute

// SendFile hands a document out, to be kept or, inline, for the page's own viewer.
// It closes the file.
func SendFile(w http.ResponseWriter, r *http.Request, d *request.Download, inline bool) {
	defer func() { _ = d.File.Close() }()                                       // only read
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(slowest)) // else the server's own stands
	how := "attachment"
	if inline {
		how = "inline"
	}
	h := w.Header()
	h.Set("Content-Type", "application/pdf")
	h.Set("Content-Disposition", mime.FormatMediaType(how, map[string]string{"filename": d.Name}))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	h.Set("ETag", `"`+d.SHA256+`"`)
	http.ServeContent(w, r, "", time.Time{}, d.File)
}

// Groups writes a digest so that people can compare it.
func Groups(hex string) string {
	var out []byte
	for i := range len(hex) {
		if i > 0 && i%4 == 0 {
			out = append(out, ' ')
		}
		out = append(out, hex[i])
	}
	return string(out)
}
