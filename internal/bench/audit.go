package main

import (
	"crypto/ed25519"
	"fmt"
	"sync"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/internal/testenv"
)

// Sizes of the experiment with the audit log.
const (
	auditCallers  = 16
	auditAppends  = 3000      // of one round, by one caller and by all
	auditEvents   = 1_000_000 // that are searched
	auditAccounts = 20_000    // that a part of them concerns
	auditBatch    = 4000      // of one transaction while the log is filled
	auditPage     = 512       // as the API gives them
	auditSpan     = 400 * 24 * time.Hour
)

// measureAudit appends events durably, one caller after another and many at once, with
// the log sequenced beside it; then fills a log with a million events and searches it.
func measureAudit(s *stage, rounds int) []row {
	var rows []row
	s.act(func(s *stage) { rows = appendRows(s, rounds, "SQLite", store.Config{Dir: s.disk()}, atLeast(5)) })
	if _, err := testenv.Look("postgres"); err != nil {
		rows = append(rows, row{name: "audit: append at 16, PostgreSQL", missing: err.Error()})
	} else {
		s.act(func(s *stage) {
			server := testenv.StartDurablePostgres(s, s.disk())
			rows = append(rows, appendRows(s, rounds, "PostgreSQL", store.Config{Dir: s.disk(), URL: server.Database(s)}, goal{})...)
		})
	}
	s.act(func(s *stage) { rows = append(rows, searchRows(s, rounds)...) })
	return rows
}

func openAudited(s *stage, c store.Config) (*store.Store, storetest.Fixture, *audit.Log) {
	c.MasterKey = storetest.MasterKey
	st, err := store.Open(s.ctx, c)
	s.need(err)
	s.Cleanup(func() { _ = st.Close() })
	return st, storetest.Seed(s, st), audit.NewLog(audit.LogConfig{Store: st, Key: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), Origin: "bench/audit/v1"})
}

// appendRows compares many callers, whose work is committed together, with one whose
// every event is a commit of its own.
func appendRows(s *stage, rounds int, name string, c store.Config, g goal) []row {
	st, f, log := openAudited(s, c)
	var one, many, waits series
	appendAll := func(callers int) (perSecond float64, p50 time.Duration) {
		var mu sync.Mutex
		var took series
		var work sync.WaitGroup
		begin := time.Now()
		for range callers {
			work.Go(func() {
				for range auditAppends / callers {
					start := time.Now()
					if err := appendOne(s, st, f.Env.ID); err != nil {
						mu.Lock()
						s.failed = err.Error()
						mu.Unlock()
						return
					}
					mu.Lock()
					took = append(took, float64(time.Since(start)))
					mu.Unlock()
				}
			})
		}
		work.Wait()
		return float64(len(took)) / time.Since(begin).Seconds(), time.Duration(took.median())
	}
	appendAll(auditCallers) // warm
	for range rounds {
		alone, fsync := appendAll(1)
		together, p50 := appendAll(auditCallers)
		one, many = append(one, alone), append(many, together)
		waits = append(waits, float64(p50)/float64(fsync))
	}
	start := time.Now()
	s.need(log.Sequence(s.ctx))
	head, _, err := log.Head(s.ctx)
	s.need(err)
	return []row{
		{name: "audit: append at 16, " + name, unit: "/s", anchor: "one by one", base: one, ours: many, goal: g},
		{name: "audit: p50 of it in commits, " + name, unit: "", ours: waits},
		{name: "audit: into the tree, " + name, unit: "/s", ours: series{float64(head.Size) / time.Since(start).Seconds()}},
	}
}

func appendOne(s *stage, st *store.Store, env string) error {
	return audit.Write(s.ctx, st, audit.Event{Env: env, Kind: audit.OperationRequested, Trace: "bench", Actor: audit.Principal{System: "bench"},
		Detail: map[string]string{"operation": "get_temporary_password", "context": "5GkW0yVq3o2mJcVh0aO2q7uHq1dXc7v8o0bI8q2y7wE"}})
}

// fillAudit writes a million events over 400 days: every second one of the commonest
// kind, one in ten thousand of the rarest, one in four about an account.
func fillAudit(s *stage, st *store.Store, f storetest.Fixture) {
	begin := time.Now().Add(-auditSpan)
	for from := 0; from < auditEvents; from += auditBatch {
		err := st.Tx(s.ctx, func(tx *store.Tx) error {
			for i := from; i < from+auditBatch; i++ {
				e := audit.Event{Org: f.Org.ID, Env: f.Env.ID, Kind: audit.RecoveryStarted, Time: begin.Add(auditSpan / auditEvents * time.Duration(i)), Trace: fmt.Sprint("trace-", i/5),
					Detail: map[string]any{"operation": "get_temporary_password", "method": "wallet", "step": i % 7}}
				switch {
				case i%10_000 == 77:
					e.Kind = audit.AgentRevoked
				case i%4 == 0:
					e.Kind, e.Account, e.Personal = audit.OperationFinished, fmt.Sprintf("account-%d", i/4%auditAccounts), map[string]string{"name": "Ada Lovelace"}
				case i%4 == 1:
					e.Kind = audit.RecoveryVerified
				}
				if err := audit.Append(s.ctx, tx, e); err != nil {
					return err
				}
			}
			return nil
		})
		s.need(err)
	}
}

// searchRows fills a log and searches it as GET /api/audit does, with what is under
// persons' keys decrypted.
func searchRows(s *stage, rounds int) []row {
	st, f, log := openAudited(s, store.Config{Dir: s.disk()})
	start := time.Now()
	fillAudit(s, st, f)
	_, _ = fmt.Fprintf(s.out, "filled in %s\n", time.Since(start).Round(time.Second))
	begin := time.Now().Add(-auditSpan)
	day := func(n int) string { return audit.FirstID(begin.Add(time.Duration(n) * 24 * time.Hour)) }
	searches := []struct {
		name string
		f    store.AuditFilter
	}{
		{"by account", store.AuditFilter{Account: "account-777"}},
		{"by account, kind and time", store.AuditFilter{Account: "account-777", Kinds: []string{string(audit.OperationFinished)}, From: day(100), To: day(300)}},
		{"by a common kind", store.AuditFilter{Kinds: []string{string(audit.OperationFinished)}}},
		{"by a rare kind", store.AuditFilter{Kinds: []string{string(audit.AgentRevoked)}}},
		{"by a kind that there is not", store.AuditFilter{Kinds: []string{string(audit.EnvDeleted)}}},
		{"by three kinds, environment and time", store.AuditFilter{Envs: []string{f.Env.ID}, From: day(200), To: day(201),
			Kinds: []string{string(audit.AgentRevoked), string(audit.RecoveryVerified), string(audit.OperationFinished)}}},
		{"by environment and time", store.AuditFilter{Envs: []string{f.Env.ID}, From: day(20), To: day(390)}},
		{"by an environment without any", store.AuditFilter{Envs: []string{"none"}}},
	}
	rows := make([]row, len(searches))
	for i, q := range searches {
		rows[i] = row{name: "audit: a million, " + q.name, unit: "ms", goal: valueAtMost(50)}
		q.f.Count = auditPage
		for range rounds + 1 {
			start := time.Now()
			_, err := store.Get(s.ctx, st, func(tx *store.Tx) (audit.Page, error) { return audit.Search(s.ctx, tx, f.Org.ID, q.f, nil) })
			s.need(err)
			rows[i].ours = append(rows[i].ours, time.Since(start).Seconds()*1000)
		}
		rows[i].ours = rows[i].ours[1:] // the first one warms the cache
	}
	start = time.Now()
	s.need(log.Sequence(s.ctx))
	return append(rows, row{name: "audit: a million into the tree", unit: "/s", ours: series{auditEvents / time.Since(start).Seconds()}})
}
