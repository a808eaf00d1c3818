package org.edgesdk.demo.core;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;
import static org.junit.Assert.fail;

import org.junit.Test;

import java.io.File;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;

public class FiguresTest {
    @Test
    public void quantiles_are_linear_between_samples() {
        Quantiles found = new Quantiles(new double[] {4, 1, 3, 2});
        assertEquals(2.5, found.at(50), 1e-12);
        assertEquals(1, found.at(0), 0);
        assertEquals(4, found.at(100), 0);
        assertEquals(3.7, found.at(90), 1e-12);
        assertEquals(2.5, found.mean, 1e-12);
    }

    @Test
    public void a_tail_of_too_few_samples_is_not_told() {
        double[] values = new double[100];
        for (int i = 0; i < values.length; i++) {
            values[i] = i;
        }
        Quantiles found = new Quantiles(values);
        assertTrue(Double.isNaN(found.told(99)));
        assertEquals(94.05, found.told(95), 1e-9);
        assertEquals(49.5, found.told(50), 1e-9);
    }

    @Test
    public void no_samples_and_nan_are_refused() {
        for (double[] bad : new double[][] {{}, {1, Double.NaN}}) {
            try {
                new Quantiles(bad);
                fail("quantiles of nothing");
            } catch (IllegalArgumentException error) {
                assertTrue(error.getMessage().startsWith("expected"));
            }
        }
    }

    @Test
    public void unknown_memory_is_nan_and_never_zero() throws Exception {
        File file = File.createTempFile("status", null);
        Files.writeText(file, "Name:\tx\nVmHWM:\t  2048 kB\nVmRSS:\tmany kB\n");
        ProcessMemory memory = ProcessMemory.read(file);
        assertEquals(2, memory.peakMb, 0);
        assertTrue(Double.isNaN(memory.residentMb));
        assertTrue(file.delete());
        assertTrue(Double.isNaN(ProcessMemory.read(file).peakMb));
        assertTrue(ProcessMemory.read().peakMb > 1);
    }

    @Test
    public void implausible_readings_of_a_device_are_unknown() {
        assertTrue(Double.isNaN(DeviceState.plausibleHeadroom(-1)));
        assertTrue(Double.isNaN(DeviceState.plausibleHeadroom(Double.NaN)));
        assertTrue(Double.isNaN(DeviceState.plausibleEnergyMj(1e10)));
        assertTrue(Double.isNaN(DeviceState.plausiblePowerMw(-2e6)));
        assertEquals(-500, DeviceState.plausiblePowerMw(-500), 0);
        DeviceState odd = new DeviceState(101, null, 1, 1, 1, null, null, 1, 1, 1);
        assertTrue(Double.isNaN(odd.batteryPct));
    }

    @Test
    public void sliders_ask_for_what_they_show() {
        BudgetSettings none = BudgetSettings.none();
        assertTrue(Double.isNaN(none.latencyMs()));
        assertNull(none.battery());
        assertEquals(0.02, new BudgetSettings(-5, 0).latencyMs(), 1e-12);
        assertEquals(50, new BudgetSettings(BudgetSettings.LATENCY_STEPS - 1, 0).latencyMs(),
                1e-9);
        double before = 0;
        for (int place = 0; place < BudgetSettings.LATENCY_STEPS; place++) {
            double ms = new BudgetSettings(place, 0).latencyMs();
            assertTrue(ms > before);
            before = ms;
        }
        assertEquals("10 %", new BudgetSettings(0, 1).battery());
        assertEquals("last 2 h", new BudgetSettings(0, 6).battery());
        assertEquals("last 24 h", new BudgetSettings(0, 99).battery());
    }

    @Test
    public void a_profile_is_read_as_it_was_stored() {
        DeviceProfile profile = new DeviceProfile("k", Arrays.asList(
                new DeviceProfile.Row("S", 0.5, 0.75), new DeviceProfile.Row("XL", 1, 2)));
        DeviceProfile again = DeviceProfile.fromJson(profile.toJson());
        assertEquals("k", again.key);
        assertEquals(profile.words(), again.words());
    }

    @Test
    public void a_damaged_profile_is_none() {
        String good = new DeviceProfile("k", Collections.singletonList(
                new DeviceProfile.Row("S", 0.5, 0.75))).toJson();
        for (String bad : new String[] {"", "[]", "{}", good.replace("0.5", "0.9"),
            good.replace("0.5", "-1.0"), good.replace("0.75", "null"),
            good.replace("0.75", "NaN"), good.replace("0.5", "\"0.5\""),
            good.replace("\"S\"", "7"), good.replace("1", "2"), good.replace("schema", "scheme"),
            good.substring(0, good.length() / 2)}) {
            assertNull(bad, DeviceProfile.fromJson(bad));
        }
    }

    @Test
    public void a_run_takes_turns_and_counts_every_sample() throws Exception {
        final long[] now = {0};
        final List<String> seen = new ArrayList<String>();
        BenchRunner runner = new BenchRunner(new BenchRunner.Clock() {
            @Override
            public long nanos() {
                return now[0];
            }
        }, watch(false));
        List<BenchRow> rows = runner.measure(Arrays.<BenchItem>asList(
                item("slow", 2_000_000, now, seen), item("fast", 10_000, now, seen)), 3, 20, 0);
        assertEquals("slow", rows.get(0).item.name);
        assertEquals(60, rows.get(0).ms.n);
        assertEquals(2.0, rows.get(0).ms.at(50), 1e-9);
        assertEquals(1, rows.get(0).callsPerSample);
        assertEquals(0.01, rows.get(1).ms.at(50), 1e-9);
        assertEquals(5, rows.get(1).callsPerSample);
        assertTrue(seen.indexOf("fast") < seen.lastIndexOf("slow"));
    }

    @Test(expected = BenchRunner.CancelledException.class)
    public void a_run_can_be_cancelled() throws Exception {
        new BenchRunner(watch(true)).measure(Collections.<BenchItem>singletonList(
                item("x", 0, new long[1], new ArrayList<String>())), 1, 1, 0);
    }

    @Test
    public void a_clock_that_stands_still_gives_no_time_of_zero() throws Exception {
        BenchRunner runner = new BenchRunner(new BenchRunner.Clock() {
            @Override
            public long nanos() {
                return 7;
            }
        }, watch(false));
        List<BenchRow> rows = runner.measure(Collections.<BenchItem>singletonList(
                item("x", 0, new long[1], new ArrayList<String>())), 1, 1, 0);
        assertTrue(rows.get(0).ms.min > 0);
        assertFalse(rows.get(0).line().isEmpty());
    }

    private static BenchRunner.Watch watch(final boolean cancelled) {
        return new BenchRunner.Watch() {
            @Override
            public void at(String name, int done, int ofAll) {
                assertTrue(done <= ofAll);
            }

            @Override
            public boolean isCancelled() {
                return cancelled;
            }
        };
    }

    private static BenchItem item(String name, final long nanos, final long[] now,
                                  final List<String> seen) {
        return new BenchItem("file", "method", name) {
            @Override
            public void call(int number) {
                now[0] += nanos;
                seen.add(this.name);
            }
        };
    }
}
