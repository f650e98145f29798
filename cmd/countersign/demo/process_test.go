package demo

import (
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestAProcessThatEndsAtOnceIsReportedWithItsLastWords(t *testing.T) {
	p, err := start(t.Context(), "gateway", "", filepath.Join(t.TempDir(), "log"), []string{"/bin/sh", "-c", "echo the database is locked >&2; exit 5"})
	if err != nil {
		t.Fatal(err)
	}
	err = p.ready(t.Context(), &http.Client{Timeout: time.Second}, "http://127.0.0.1:1/readyz")
	if err == nil || !strings.Contains(err.Error(), "gateway") || !strings.Contains(err.Error(), "the database is locked") {
		t.Errorf("got %v", err)
	}
	if err := p.stop(time.Second); err == nil || !strings.Contains(err.Error(), "exit status 5") {
		t.Errorf("stop: got %v", err)
	}
}

func TestAProcessEndsWhenItsInputCloses(t *testing.T) {
	p, err := start(t.Context(), "pki", "", filepath.Join(t.TempDir(), "log"), []string{"/bin/cat"})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.stop(5 * time.Second); err != nil {
		t.Error(err)
	}
}

func TestAProcessThatDoesNotListenIsKilled(t *testing.T) {
	p, err := start(t.Context(), "sam", "", filepath.Join(t.TempDir(), "log"), []string{"/bin/sleep", "600"})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.stop(50 * time.Millisecond); err == nil || !strings.Contains(err.Error(), "was killed") {
		t.Errorf("got %v", err)
	}
	select {
	case <-p.done:
	default:
		t.Error("the process still runs")
	}
}

func TestWaitingForAProcessEndsWithTheContext(t *testing.T) {
	p, err := start(t.Context(), "sam", "", filepath.Join(t.TempDir(), "log"), []string{"/bin/cat"})
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop(time.Second)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if err := p.ready(ctx, &http.Client{Timeout: time.Second}, "http://127.0.0.1:1/readyz"); err == nil || !strings.Contains(err.Error(), "not ready") {
		t.Errorf("got %v", err)
	}
}
