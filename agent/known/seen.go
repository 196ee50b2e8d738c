package known

import (
	"slices"
	"strings"
	"time"
)

// Kinds of attributes whose age matters.
const (
	KindMail      = "mail" // an address that codes and notices go to
	KindName      = "name"
	KindBirthDate = "birth_date"
	KindPhone     = "phone"   // a number that codes go to
	KindManager   = "manager" // who is told where the owner has no address
)

// keepGone is how long a value is remembered that the directory no longer has: whoever
// changed an address must not be the only one who hears of what follows (T16).
const keepGone = 7 * 24 * time.Hour

// firstLook bounds the time in which values count at once: a first pass that never ends
// must not keep the door open.
const firstLook = 24 * time.Hour

// A Value is one value of one attribute of an account.
type Value struct{ Kind, Text string }

// people are the values of accounts by immutable id.
type people map[string][]seen

// seen is one value. Text is sealed and kept of addresses alone.
type seen struct {
	Kind  string `json:"kind"`
	Hash  string `json:"hash"`
	Text  []byte `json:"text,omitempty"`
	First int64  `json:"first"`          // Unix seconds; 0: it stood there before the agent looked for the first time
	Gone  int64  `json:"gone,omitempty"` // since when the directory no longer has it
}

// Settle says that the agent has looked at everything once: what it sees from now on
// for the first time is new.
func (s *Store) Settle() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Settled && !s.dirty {
		return nil
	}
	s.state.Settled = true
	return s.saveLocked()
}

// Settled reports whether Settle was called, now or by an earlier process.
func (s *Store) Settled() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.Settled
}

// Note remembers which values an account has now. atStart says that values which are
// there before Settle count at once. It changes memory; Save writes it.
func (s *Store) Note(account string, values []Value, atStart bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	first := now.Unix()
	if atStart && !s.state.Settled && now.Sub(time.Unix(s.state.Born, 0)) < firstLook {
		first = 0
	}
	list := s.state.Seen[account]
	current := map[string]bool{}
	for _, v := range values {
		hash := s.keyed(v.Kind, account, fold(v.Text))
		current[hash] = true
		list = s.noteLocked(list, account, v, hash, first)
	}
	list = slices.DeleteFunc(list, func(v seen) bool { return s.goneLocked(&v, current, now) })
	for i := range list {
		if !current[list[i].Hash] && list[i].Gone == 0 {
			list[i].Gone, s.dirty = now.Unix(), true
		}
	}
	if s.state.Seen[account] = list; len(list) == 0 {
		delete(s.state.Seen, account)
	}
}

// noteLocked adds a value, or says that one is there again: as new, because meanwhile
// nobody knows who had it.
func (s *Store) noteLocked(list []seen, account string, v Value, hash string, first int64) []seen {
	i := slices.IndexFunc(list, func(o seen) bool { return o.Hash == hash })
	switch {
	case i < 0:
		n := seen{Kind: v.Kind, Hash: hash, First: first}
		if v.Kind == KindMail {
			n.Text = s.seal(v.Text, account)
		}
		s.dirty = true
		return append(list, n)
	case list[i].Gone != 0:
		list = slices.Clone(list)
		list[i].First, list[i].Gone, s.dirty = first, 0, true
	}
	return list
}

// goneLocked reports whether a value can be forgotten.
func (s *Store) goneLocked(v *seen, current map[string]bool, now time.Time) bool {
	forget := v.Gone != 0 && !current[v.Hash] && now.Sub(time.Unix(v.Gone, 0)) > keepGone
	s.dirty = s.dirty || forget
	return forget
}

// Save writes what was noted.
func (s *Store) Save() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.dirty {
		return nil
	}
	return s.saveLocked()
}

// Counts reports whether a value of an account has been there for Wait (T16).
func (s *Store) Counts(account string, v Value) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	hash := s.keyed(v.Kind, account, fold(v.Text))
	for _, o := range s.state.Seen[account] {
		if o.Hash == hash {
			return o.Gone == 0 && s.now().Sub(time.Unix(o.First, 0)) >= Wait
		}
	}
	return false
}

// Former lists the addresses that an account had until a week ago.
func (s *Store) Former(account string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, o := range s.state.Seen[account] {
		if o.Kind == KindMail && o.Gone != 0 {
			if text := s.open(o.Text, account); text != "" {
				all = append(all, text)
			}
		}
	}
	return all
}

// FormerCounting lists those of Former that had been there for Wait: addresses of the
// owner, and not of somebody who set one and took it away.
func (s *Store) FormerCounting(account string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, o := range s.state.Seen[account] {
		if o.Kind == KindMail && o.Gone != 0 && o.Gone-o.First >= int64(Wait/time.Second) {
			if text := s.open(o.Text, account); text != "" {
				all = append(all, text)
			}
		}
	}
	return all
}

// fold makes two spellings of one value equal.
func fold(text string) string { return strings.ToLower(strings.Join(strings.Fields(text), " ")) }
