package audit

import (
	"context"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/countersign/countersign/internal/store"
)

// The hashes of the tree are stored in tiles, as in C2SP tlog-tiles: a tile of
// level 0 has the hashes of up to 256 events, a tile of level k+1 the roots of up
// to 256 full tiles of level k.
const (
	tileHeight = 8
	tileWidth  = 1 << tileHeight
	tileBytes  = tileWidth * tlog.HashSize
)

// tile names a tile.
type tile struct{ level, n int64 }

// builder adds events to the right edge of a tree.
type builder struct {
	size  int64
	edge  [][]byte        // by level: the hashes of the last tile, never a full one
	dirty map[tile][]byte // what has changed and is to be written
}

// resume reads the right edge of a tree of that size.
func resume(ctx context.Context, q store.Querier, size int64) (*builder, error) {
	b := &builder{size: size, dirty: map[tile][]byte{}}
	for level, count := int64(0), size; count > 0; level, count = level+1, count>>tileHeight {
		var hashes []byte
		if w := count % tileWidth; w > 0 {
			data, err := readTile(ctx, q, tile{level, count / tileWidth}, w)
			if err != nil {
				return nil, err
			}
			hashes = append(make([]byte, 0, tileBytes), data...)
		}
		b.edge = append(b.edge, hashes)
	}
	return b, nil
}

// add puts one more event at the end.
func (b *builder) add(h tlog.Hash) {
	b.size++
	for level, count := 0, b.size; ; level, count = level+1, count>>tileHeight {
		if level == len(b.edge) {
			b.edge = append(b.edge, nil)
		}
		data := append(b.edge[level], h[:]...)
		b.dirty[tile{int64(level), (count - 1) / tileWidth}] = data
		if len(data) < tileBytes {
			b.edge[level] = data
			return
		}
		b.edge[level] = nil
		h = fold(data)
	}
}

// fold is the root over a full tile.
func fold(data []byte) tlog.Hash {
	hashes := make([]tlog.Hash, len(data)/tlog.HashSize)
	for i := range hashes {
		hashes[i] = tlog.Hash(data[i*tlog.HashSize:])
	}
	for len(hashes) > 1 {
		for i := range len(hashes) / 2 {
			hashes[i] = tlog.NodeHash(hashes[2*i], hashes[2*i+1])
		}
		hashes = hashes[:len(hashes)/2]
	}
	return hashes[0]
}

// write stores the tiles that changed.
func (b *builder) write(ctx context.Context, q store.Querier) error {
	for t, data := range b.dirty {
		_, err := q.Exec(ctx, `INSERT INTO audit_tile (level, n, hashes) VALUES ($1, $2, $3)
			ON CONFLICT (level, n) DO UPDATE SET hashes = excluded.hashes`, t.level, t.n, data)
		if err != nil {
			return fmt.Errorf("write hashes: %w", err)
		}
	}
	clear(b.dirty)
	return nil
}

// readTile returns the first w hashes of a tile.
func readTile(ctx context.Context, q store.Querier, t tile, w int64) ([]byte, error) {
	var data []byte
	err := q.QueryRow(ctx, `SELECT hashes FROM audit_tile WHERE level = $1 AND n = $2`, t.level, t.n).Scan(&data)
	if err != nil {
		return nil, fmt.Errorf("read hashes %d/%d: %w", t.level, t.n, err)
	}
	if int64(len(data)) < w*tlog.HashSize || len(data) > tileBytes {
		return nil, fmt.Errorf("%w: hashes %d/%d are cut", ErrTampered, t.level, t.n)
	}
	return data[:w*tlog.HashSize], nil
}

// hashReader gives tlog the stored hashes; it remembers tiles.
type hashReader struct {
	ctx   context.Context //nolint:containedctx // tlog.HashReader has none; lives for one call
	q     store.Querier
	tiles map[tile][]byte
}

func newHashReader(ctx context.Context, q store.Querier) *hashReader {
	return &hashReader{ctx: ctx, q: q, tiles: map[tile][]byte{}}
}

// ReadHashes implements tlog.HashReader.
func (r *hashReader) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		t := tlog.TileForIndex(tileHeight, index)
		key := tile{int64(t.L), t.N}
		data := r.tiles[key]
		if need := t.W * tlog.HashSize; len(data) < need {
			var err error
			if data, err = r.read(key, int64(t.W)); err != nil {
				return nil, err
			}
		}
		h, err := tlog.HashFromTile(t, data[:t.W*tlog.HashSize], index)
		if err != nil {
			return nil, err
		}
		hashes[i] = h
	}
	return hashes, nil
}

func (r *hashReader) read(t tile, w int64) ([]byte, error) {
	data, err := readTile(r.ctx, r.q, t, w)
	if err != nil {
		return nil, err
	}
	if len(r.tiles) >= 1024 { // 8 MB
		clear(r.tiles)
	}
	r.tiles[t] = data
	return data, nil
}
