package org.edgesdk.demo;

import android.app.ActivityManager;
import android.content.Context;
import android.content.Intent;
import android.content.IntentFilter;
import android.os.BatteryManager;
import android.os.Build;
import android.os.PowerManager;
import android.os.SystemClock;

import org.edgesdk.demo.core.DeviceState;
import org.edgesdk.demo.core.ProcessMemory;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;

/** Asks Android what the device says of itself: battery, heat, memory. For one thread at a time. */
final class DeviceReader {
    /** Android's thermal headroom is NaN when it is polled more often. */
    static final long REFRESH_MS = 1000;

    /** PowerManager.THERMAL_STATUS_SEVERE. */
    private static final int SEVERE = 3;

    private static final int HEADROOM_API = 30;
    private static final int STATUS_API = 29;

    private final Context context;
    private final PowerManager power;
    private final BatteryManager battery;
    private final ActivityManager activities;
    private DeviceState last;
    private long lastMs;

    DeviceReader(Context context) {
        this.context = context.getApplicationContext();
        power = (PowerManager) context.getSystemService(Context.POWER_SERVICE);
        battery = (BatteryManager) context.getSystemService(Context.BATTERY_SERVICE);
        activities = (ActivityManager) context.getSystemService(Context.ACTIVITY_SERVICE);
    }

    /** Return the state, at most a second old. */
    synchronized DeviceState read() {
        long now = SystemClock.elapsedRealtime();
        if (last == null || now - lastMs >= REFRESH_MS) {
            last = ask();
            lastMs = now;
        }
        return last;
    }

    private DeviceState ask() {
        Intent sticky = context.registerReceiver(null,
                new IntentFilter(Intent.ACTION_BATTERY_CHANGED));
        ActivityManager.MemoryInfo memory = new ActivityManager.MemoryInfo();
        activities.getMemoryInfo(memory);
        ProcessMemory own = ProcessMemory.read();
        double volts = sticky == null ? Double.NaN
                : sticky.getIntExtra(BatteryManager.EXTRA_VOLTAGE, 0) / 1000.0;
        return new DeviceState(
                property(BatteryManager.BATTERY_PROPERTY_CAPACITY),
                battery.isCharging(),
                energyLeftMj(volts),
                drainMw(volts),
                headroom(),
                throttled(),
                power.isPowerSaveMode(),
                memory.availMem / (double) (1 << 20),
                own.residentMb,
                own.peakMb);
    }

    private double energyLeftMj(double volts) {
        double nanoWattHours = longProperty(BatteryManager.BATTERY_PROPERTY_ENERGY_COUNTER);
        if (!Double.isNaN(nanoWattHours)) {
            return DeviceState.plausibleEnergyMj(nanoWattHours * 3.6e-3);
        }
        double microAmpereHours = property(BatteryManager.BATTERY_PROPERTY_CHARGE_COUNTER);
        return DeviceState.plausibleEnergyMj(microAmpereHours * volts * 3.6);
    }

    /** Out of the battery; makers disagree about the current's sign, so it follows the charger. */
    private double drainMw(double volts) {
        double microAmperes = property(BatteryManager.BATTERY_PROPERTY_CURRENT_NOW);
        double milliwatts = DeviceState.plausiblePowerMw(Math.abs(microAmperes) / 1000 * volts);
        return battery.isCharging() ? -milliwatts : milliwatts;
    }

    private double property(int id) {
        int value = battery.getIntProperty(id);
        return value == Integer.MIN_VALUE || value == Integer.MAX_VALUE || value <= 0
                && id != BatteryManager.BATTERY_PROPERTY_CURRENT_NOW ? Double.NaN : value;
    }

    private double longProperty(int id) {
        long value = battery.getLongProperty(id);
        return value <= 0 || value == Long.MAX_VALUE ? Double.NaN : value;
    }

    /** PowerManager.getThermalHeadroom of Android 11: the class library here is older. */
    private double headroom() {
        if (Build.VERSION.SDK_INT < HEADROOM_API) {
            return Double.NaN;
        }
        Object value = ask("getThermalHeadroom", new Class<?>[] {int.class}, 0);
        return value instanceof Float ? DeviceState.plausibleHeadroom((Float) value) : Double.NaN;
    }

    private Boolean throttled() {
        if (Build.VERSION.SDK_INT < STATUS_API) {
            return null;
        }
        Object value = ask("getCurrentThermalStatus", new Class<?>[0]);
        return value instanceof Integer ? (Integer) value >= SEVERE : null;
    }

    private Object ask(String name, Class<?>[] types, Object... arguments) {
        try {
            Method method = PowerManager.class.getMethod(name, types);
            return method.invoke(power, arguments);
        } catch (NoSuchMethodException error) {
            return null;
        } catch (IllegalAccessException error) {
            return null;
        } catch (InvocationTargetException error) {
            return null;
        }
    }
}
