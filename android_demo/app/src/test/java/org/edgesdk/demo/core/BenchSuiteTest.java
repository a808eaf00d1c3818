package org.edgesdk.demo.core;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import org.edgesdk.EdgeRuntime;
import org.edgesdk.FormatException;
import org.junit.Test;

import java.util.HashSet;
import java.util.List;
import java.util.Set;

/** A short run of all that the benchmark screen measures; Python reads its JSON afterwards. */
public class BenchSuiteTest {
    @Test
    public void the_whole_suite_runs_and_is_reported() throws Exception {
        BenchReport report = new BenchReport(EdgeRuntime.version(), new Machine("a \"model\"",
                "x86_64", "a processor", 2, 2048, "JVM").toMap(), "2000-01-01T00:00:00Z");
        BenchSuite suite = new BenchSuite(report, EdgeRuntime.version());
        ImageSession images = Assets.images();
        images.useProfile(images.measure("k", new ImageSession.Progress() {
            @Override
            public void at(String plan) {
                assertTrue(images(plan));
            }

            private boolean images(String plan) {
                return !plan.isEmpty();
            }
        }));
        suite.addImages(images);
        suite.addCodes(Assets.codes());
        suite.addSpeech(Assets.speech());
        report.setLoaded(ProcessMemory.read());
        report.setSettings(2, 5, 0);
        List<BenchRow> rows = new BenchRunner(new BenchRunner.Watch() {
            @Override
            public void at(String name, int done, int ofAll) {
                assertTrue(done <= 2);
            }

            @Override
            public boolean isCancelled() {
                return false;
            }
        }).measure(suite.items(), 2, 5, 0);
        Set<String> names = new HashSet<String>();
        for (BenchRow row : rows) {
            assertTrue(row.item.name, names.add(row.item.file + " " + row.item.name));
        }
        assertTrue(names.contains("digits.edge XL"));
        assertTrue(names.contains("digits.edge governor decision"));
        assertTrue(names.contains("omniglot.llc ordered of 64 words"));
        assertTrue(names.contains("digits.grnn cell frame"));
        report.addRows(rows);
        report.addError("broken.edge", "bundle", new FormatException("a", "b", "c", "d"));
        report.setState(DeviceState.unknown(), DeviceState.unknown());
        Files.writeText(FolderSource.made("bench.json"), report.toJson(ProcessMemory.read()));
        assertEquals(rows.size() + 4, report.table().split("\n").length);
    }
}
