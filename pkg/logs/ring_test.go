package logs

import (
	"bytes"
	"math/rand/v2"
	"os"
	"testing"
	"time"
)

// content gives what a ring holds.
func (r *ring) content(t *testing.T) (all []byte) {
	t.Helper()
	room := make([]byte, 1000)
	for at := int64(0); at < r.held(); at = int64(len(all)) {
		p, _, err := r.read(room, at)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p...)
	}
	return all
}

func TestARingHoldsTheLastBytes(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		var b budget
		b.left.Store(random.Int64N(3000))
		budgeted := b.left.Load()
		r := &ring{dir: t.TempDir(), most: 1 + random.Int64N(3000), budget: &b}
		var all []byte
		for i := range 40 {
			p := bytes.Repeat([]byte{byte(i)}, 1+random.IntN(1+random.IntN(5000)))
			for j := range p {
				p[j] += byte(j * 7)
			}
			all = append(all, p...)
			r.write(p, time.Now())
			want := min(int64(len(all)), r.most, budgeted)
			if got := r.content(t); !bytes.Equal(got, all[int64(len(all))-want:]) {
				t.Fatalf("seed %d: holds %d bytes of %d, want the last %d", seed, len(got), len(all), want)
			}
			if r.lost() != int64(len(all))-want || b.left.Load() != budgeted-want {
				t.Fatalf("seed %d: lost %d of %d, %d left of %d", seed, r.lost(), len(all), b.left.Load(), budgeted)
			}
		}
		r.close()
	}
}

func TestARingKnowsWhenItsBytesWereRead(t *testing.T) {
	t.Parallel()
	var b budget
	b.left.Store(1 << 40)
	r := &ring{dir: t.TempDir(), most: 1 << 20, budget: &b}
	began := time.Now()
	for i := range 1000 { // every 16 KiB a second
		r.write(make([]byte, 16<<10), began.Add(time.Duration(i)*time.Second))
	}
	room := make([]byte, 1)
	for at := int64(0); at < r.held(); at += 10_000 {
		_, when, err := r.read(room, at)
		number := r.taken - r.held() + at
		if late := time.Duration(number/(16<<10))*time.Second - when.Sub(began); err != nil || late < 0 || late > 5*time.Second {
			t.Fatalf("byte %d is %v too early, %v", number, late, err)
		}
	}
	r.close()
}

func TestARingOnAFullDisk(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	var b budget
	b.left.Store(1000)
	r := &ring{file: full, most: 1000, budget: &b}
	for range 3 {
		r.write(make([]byte, 700), time.Now())
	}
	if r.held() != 0 || r.lost() != 2100 || b.left.Load() != 1000 || r.whole() {
		t.Errorf("holds %d, lost %d, %d left", r.held(), r.lost(), b.left.Load())
	}
	r.close()
	r = &ring{dir: t.TempDir(), most: 1000, budget: &b}
	r.write(make([]byte, 1000), time.Now())
	if err := r.file.Close(); err != nil { // what is written over it cannot be told from what was there
		t.Fatal(err)
	}
	r.write(make([]byte, 10), time.Now())
	if r.held() != 0 || r.lost() != 1010 {
		t.Errorf("holds %d, lost %d", r.held(), r.lost())
	}
}
