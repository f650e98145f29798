package pdf

// unpredict undoes the predictor of Flate and LZW (ISO 32000-2, 7.4.4.4).
func (f *File) unpredict(params *Dict, in []byte) ([]byte, error) {
	value := func(key Name, def, limit int64) (int, error) {
		n, ok, err := f.Int(params.Get(key))
		if err != nil {
			return 0, err
		}
		if !ok {
			n = def
		}
		if n < 1 || n > limit {
			return 0, damaged("/%s of a stream is out of range", key)
		}
		return int(n), nil
	}
	predictor, err := value("Predictor", 1, 15)
	if err != nil || predictor == 1 {
		return in, err
	}
	colors, err := value("Colors", 1, 32)
	if err != nil {
		return nil, err
	}
	bits, err := value("BitsPerComponent", 8, 16)
	if err != nil {
		return nil, err
	}
	columns, err := value("Columns", 1, 1<<24)
	if err != nil {
		return nil, err
	}
	pixel := max(1, colors*bits/8)
	row := (colors*bits*columns + 7) / 8
	if predictor == 2 {
		return tiff(in, colors, bits, row)
	}
	if predictor < 10 {
		return nil, damaged("a stream has the unknown predictor %d", predictor)
	}
	return png(in, pixel, row)
}

func tiff(in []byte, colors, bits, row int) ([]byte, error) {
	if bits != 8 {
		return nil, damaged("a stream that must be read has a TIFF predictor of %d bits", bits)
	}
	for start := 0; start+row <= len(in); start += row {
		line := in[start : start+row]
		for i := colors; i < row; i++ {
			line[i] += line[i-colors]
		}
	}
	return in, nil
}

// png undoes the five PNG filters; a last row that is cut short is kept.
func png(in []byte, pixel, row int) ([]byte, error) {
	out := make([]byte, 0, len(in))
	prior := make([]byte, min(row, len(in)))
	for len(in) > 1 {
		kind := in[0]
		line := in[1:min(len(in), row+1)]
		in = in[1+len(line):]
		start := len(out)
		out = append(out, line...)
		if err := pngRow(kind, out[start:], prior, pixel); err != nil {
			return nil, err
		}
		prior = out[start:]
	}
	return out, nil
}

func pngRow(kind byte, line, up []byte, pixel int) error {
	for i := range line {
		var left, above, corner byte
		if i < len(up) {
			above = up[i]
		}
		if i >= pixel {
			left = line[i-pixel]
			if i-pixel < len(up) {
				corner = up[i-pixel]
			}
		}
		switch kind {
		case 0:
		case 1:
			line[i] += left
		case 2:
			line[i] += above
		case 3:
			line[i] += byte((int(left) + int(above)) / 2)
		case 4:
			line[i] += paeth(left, above, corner)
		default:
			return damaged("a stream has the unknown PNG filter %d", kind)
		}
	}
	return nil
}

func paeth(a, b, c byte) byte {
	p := int(a) + int(b) - int(c)
	pa, pb, pc := abs(p-int(a)), abs(p-int(b)), abs(p-int(c))
	switch {
	case pa <= pb && pa <= pc:
		return a
	case pb <= pc:
		return b
	}
	return c
}

func abs(n int) int {
	if n < 0 {
		return -n
	}
	return n
}
