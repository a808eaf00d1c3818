package org.edgesdk.demo.core;

import java.io.BufferedReader;
import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStreamReader;

/** Memory of this process as the kernel counts it; NaN where it does not say. */
public final class ProcessMemory {
    /** Resident memory now, in MB of 2**20 bytes. */
    public final double residentMb;

    /** The most that was ever resident (VmHWM), in MB. */
    public final double peakMb;

    ProcessMemory(double residentMb, double peakMb) {
        this.residentMb = residentMb;
        this.peakMb = peakMb;
    }

    /** Read /proc/self/status. */
    public static ProcessMemory read() {
        return read(new File("/proc/self/status"));
    }

    static ProcessMemory read(File status) {
        double resident = Double.NaN;
        double peak = Double.NaN;
        try {
            BufferedReader lines = new BufferedReader(
                    new InputStreamReader(new FileInputStream(status), "UTF-8"));
            try {
                for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                    if (line.startsWith("VmRSS:")) {
                        resident = megabytes(line);
                    } else if (line.startsWith("VmHWM:")) {
                        peak = megabytes(line);
                    }
                }
            } finally {
                lines.close();
            }
        } catch (IOException ignored) {
            // What can not be read stays unknown.
        }
        return new ProcessMemory(resident, peak);
    }

    private static double megabytes(String line) {
        String[] words = line.trim().split("\\s+");
        try {
            return words.length == 3 && words[2].equals("kB")
                    ? Long.parseLong(words[1]) / 1024.0 : Double.NaN;
        } catch (NumberFormatException error) {
            return Double.NaN;
        }
    }
}
