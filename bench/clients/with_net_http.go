// Verify through Go's net/http.
//
//	BENCH_KEYS=keys.txt BENCH_CREDENTIAL=kw_vk_... go run bench/clients/with_net_http.go URL CONNECTIONS
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

type question struct {
	Key      string   `json:"key"`
	ClientIP string   `json:"client_ip"`
	Scopes   []string `json:"scopes"`
}

func main() {
	written, err := os.ReadFile(os.Getenv("BENCH_KEYS"))
	if err != nil {
		panic(err)
	}
	var keys [][]string
	for _, line := range strings.Split(strings.TrimSpace(string(written)), "\n") {
		keys = append(keys, strings.Fields(line))
	}
	connections, _ := strconv.Atoi(os.Args[2])
	seed, _ := strconv.ParseInt(os.Getenv("BENCH_SEED"), 10, 64)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections}}
	var over atomic.Bool
	var bad atomic.Int64
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	go func() { <-interrupts; over.Store(true) }()

	ask := func(random *rand.Rand) (latencies []float64) {
		for !over.Load() {
			key := keys[random.Intn(len(keys))]
			network := key[2+random.Intn(len(key)-2)]
			address := strings.TrimSuffix(network, "0/24") + "7"
			body, _ := json.Marshal(question{key[0], address, []string{"reports:read"}})
			request, _ := http.NewRequest("POST", os.Args[1]+"/api/v2/api-keys/verify", bytes.NewReader(body))
			request.Header.Set("Authorization", "Bearer "+os.Getenv("BENCH_CREDENTIAL"))
			request.Header.Set("Content-Type", "application/json")
			asked := time.Now()
			answer, err := client.Do(request)
			if err != nil || answer.StatusCode != http.StatusOK {
				bad.Add(1)
			}
			if err == nil {
				io.Copy(io.Discard, answer.Body)
				answer.Body.Close()
			}
			latencies = append(latencies, float64(time.Since(asked).Microseconds())/1000)
		}
		return latencies
	}

	fmt.Println("loaded")
	var all []float64
	var lock sync.Mutex
	var asking sync.WaitGroup
	began := time.Now()
	for number := range connections {
		asking.Add(1)
		go func() {
			defer asking.Done()
			latencies := ask(rand.New(rand.NewSource(seed*1000 + int64(number))))
			lock.Lock()
			defer lock.Unlock()
			all = append(all, latencies...)
		}()
	}
	asking.Wait()
	took := time.Since(began)
	slices.Sort(all)
	at := func(share float64) float64 { return append(all, 0)[int(float64(len(all))*share)] }
	fmt.Printf(`{"answers":%d,"microseconds":%d,"bad":%d,"p50":%f,"p99":%f,"p999":%f}`+"\n",
		len(all), took.Microseconds(), bad.Load(), at(0.5), at(0.99), at(0.999))
}
