package faulttest

import (
	"fmt"
	"sync"
	"testing"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/client"
	"github.com/attune/attune/pkg/database/dbtest"
	"github.com/attune/attune/pkg/failpoint"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/services/attune/attunetest"
)

// version is the archive of a version of a small pack.
func (c *cluster) version(n int) []byte {
	c.t.Helper()
	dir := attunetest.Pack(c.t, map[string]string{
		"pack.yaml":       fmt.Sprintf("name: small\nversion: %d.0.0\n", n),
		"actions/do.yaml": "runtime: shell\nentry_point: do.sh\n",
		"actions/do.sh":   fmt.Sprintf("#!/bin/sh\necho %d\n", n),
	})
	_, archive, err := pack.Archive(dir)
	if err != nil {
		c.t.Fatal(err)
	}
	return archive
}

// comesInService waits until a version is, and looks whether it was in the first try.
func (c *cluster) comesInService(by *client.Client, version string) {
	c.t.Helper()
	var last api.PackStatus
	eventually(c.t, patience, "small "+version+" is in service", func() bool {
		status, err := by.PackStatus(c.t.Context(), "small")
		if err == nil {
			last = status
		}
		return err == nil && status.State == api.PackActive && status.Version == version
	})
	if v := last.Versions[0]; v.Version != version || v.Generation != 1 || v.Error != "" {
		c.t.Errorf("version %+v", v)
	}
}

// Whoever asked may get no answer: what was recorded goes on all the same, and asking again changes nothing.
func TestAnInstallGoesOnWhereverTheAPIIsKilled(t *testing.T) {
	t.Parallel()
	c := start(t, size{schedulers: 1, runners: 1})
	for n, place := range []failpoint.Name{failpoint.InstallRecorded, failpoint.InstallAnnounced, failpoint.InstallSwitching, failpoint.InstallSwitched} {
		c.api.stop(t)
		c.api.start(t, string(place)+"=kill@1")
		c.awaitReady()
		c.api.keep(t, func() string { return "" })
		_, err := c.client.StartInstall(t.Context(), c.version(n+1), client.Install{})
		t.Logf("%s: the request: %v", place, err) // it may have been answered before
		c.comesInService(c.client, fmt.Sprintf("%d.0.0", n+1))
		if fired := c.fired(place); fired != 1 {
			t.Errorf("%s fired %d times", place, fired)
		}
	}
	status, err := c.client.PackStatus(t.Context(), "small")
	if err != nil || len(status.Versions) != 4 || len(status.Runners) != 1 || status.Runners[0].Status != "installed" {
		t.Errorf("%+v, %v", status, err)
	}
}

func TestTheSameInstallByManyOverTwoAPIsIsOne(t *testing.T) {
	t.Parallel()
	database, addr := dbtest.URL(t), freeAddr(t)
	c := start(t, size{schedulers: 1, runners: 1, database: database})
	// Both have the same data folder, and with it the same keys.
	second := c.service("api", "api", "ATTUNE_DATABASE_URL="+database, "ATTUNE_HTTP_ADDR="+addr)
	second.start(t, "")
	t.Cleanup(func() {
		second.stop(t)
		second.judge(t)
	})
	other, err := client.New(client.Config{URL: "http://" + addr, Token: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(other.Close)
	eventually(t, patience, "the second API is ready", func() bool {
		h, err := other.Ready(t.Context())
		return err == nil && h.Status == "ok"
	})
	for n, plan := range []string{"", string(failpoint.InstallSwitching) + "=kill@1"} {
		if plan != "" { // the one that leads is killed in the middle, and the other takes over
			c.api.stop(t)
			c.api.start(t, plan)
			c.awaitReady()
			second.kill()
			second.start(t, "")
			c.api.keep(t, func() string { return "" })
		}
		archive := c.version(n + 1)
		var g sync.WaitGroup
		for i := range 20 {
			g.Go(func() {
				by := []*client.Client{c.client, other}[i%2]
				_, _ = by.StartInstall(t.Context(), archive, client.Install{}) // one of them may be killed before it answers
			})
		}
		g.Wait()
		c.comesInService(c.client, fmt.Sprintf("%d.0.0", n+1))
	}
	if status, err := c.client.PackStatus(t.Context(), "small"); err != nil || len(status.Versions) != 2 {
		t.Errorf("%+v, %v", status, err)
	}
}
