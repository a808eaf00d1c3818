// The governor: one object that holds its state; signals come as attributes of any object.
#include <limits>
#include <vector>

#include "bind.h"

namespace {

constexpr double UNKNOWN = std::numeric_limits<double>::quiet_NaN();

double number(nb::handle value) {
    if (value.is_none()) return UNKNOWN;
    const double read = PyFloat_AsDouble(value.ptr());
    if (read == -1.0 && PyErr_Occurred()) throw nb::python_error();
    return read;
}

int32_t flag(nb::handle value) {
    if (value.is_none()) return -1;
    const int truth = PyObject_IsTrue(value.ptr());
    if (truth < 0) throw nb::python_error();
    return truth;
}

// Names are made once: a decision then looks nine attributes up, and makes no string.
struct Names {
    nb::object battery_pct, energy_left_mj, battery_power_mw, thermal_headroom, free_ram_mb;
    nb::object charging, throttled, power_saver;
    Names() {
        const auto intern = [](const char *name) {
            return nb::steal(PyUnicode_InternFromString(name));
        };
        battery_pct = intern("battery_pct");
        energy_left_mj = intern("energy_left_mj");
        battery_power_mw = intern("battery_power_mw");
        thermal_headroom = intern("thermal_headroom");
        free_ram_mb = intern("free_ram_mb");
        charging = intern("charging");
        throttled = intern("throttled");
        power_saver = intern("power_saver");
    }
};


class Governor {
  public:
    explicit Governor(const std::vector<std::vector<double>> &rows) {
        std::vector<edge_choice> choices;
        for (const std::vector<double> &row : rows) {
            if (row.size() != 6) check(EDGE_ERR_ARGUMENT);
            choices.push_back({row[0], row[1], row[2], row[3], row[4], row[5]});
        }
        check(edge_governor_start(&state_, choices.data(), static_cast<uint32_t>(choices.size())));
        edge_budget_clear(&budget_);
    }

    void allow(double latency_ms, double energy_mj, double memory_mb, double risk,
               double min_accuracy, double battery_floor_pct, double last_until_s) {
        budget_ = {latency_ms,   energy_mj,         memory_mb,   risk,
                   min_accuracy, battery_floor_pct, last_until_s};
    }

    edge_decision decide(nb::handle state, nb::handle now_s, nb::handle rate_hz) {
        edge_signals signals;
        edge_decision decision;
        edge_signals_clear(&signals);
        signals.now_s = number(now_s);
        signals.rate_hz = number(rate_hz);
        if (!state.is_none()) read(state, signals);
        check(edge_governor_decide(&state_, &budget_, &signals, &decision));
        return decision;
    }

    void observe(uint32_t choice, double latency_ms, nb::handle energy_mj, nb::handle now_s) {
        check(edge_governor_observe(&state_, choice, latency_ms, number(energy_mj),
                                    number(now_s)));
    }

    nb::bytes bytes() const { return nb::bytes(&state_, sizeof state_); }

  private:
    void read(nb::handle from, edge_signals &to) const {
        const auto at = [&](const nb::object &name) {
            return nb::steal(PyObject_GetAttr(from.ptr(), name.ptr()));
        };
        const auto get = [&](const nb::object &name) {
            nb::object found = at(name);
            if (!found.is_valid()) throw nb::python_error();
            return found;
        };
        to.battery_pct = number(get(names_.battery_pct));
        to.energy_left_mj = number(get(names_.energy_left_mj));
        to.battery_power_mw = number(get(names_.battery_power_mw));
        to.thermal_headroom = number(get(names_.thermal_headroom));
        to.free_ram_mb = number(get(names_.free_ram_mb));
        to.charging = flag(get(names_.charging));
        to.throttled = flag(get(names_.throttled));
        to.power_saver = flag(get(names_.power_saver));
    }

    Names names_;
    edge_governor state_;
    edge_budget budget_;
};

} // namespace

void bind_governor(nb::module_ &m) {
    m.attr("MAX_CHOICES") = EDGE_GOVERNOR_MAX_CHOICES;
    m.attr("NO_CHOICE") = EDGE_NONE;

    nb::class_<edge_decision>(m, "Decision", "What edge_governor_decide answers.")
        .def_ro("choice", &edge_decision::choice)
        .def_prop_ro("met", [](const edge_decision &self) { return self.met != 0; })
        .def_ro("missed", &edge_decision::missed)
        .def_ro("why", &edge_decision::why)
        .def_ro("better", &edge_decision::better)
        .def_ro("better_missed", &edge_decision::better_missed)
        .def_prop_ro("unpaced", [](const edge_decision &self) { return self.unpaced != 0; })
        .def_prop_ro("switched", [](const edge_decision &self) { return self.switched != 0; })
        .def_ro("predicted_p95_ms", &edge_decision::predicted_p95_ms)
        .def_ro("better_p95_ms", &edge_decision::better_p95_ms)
        .def_ro("wait_s", &edge_decision::wait_s)
        .def_ro("slowdown", &edge_decision::slowdown)
        .def_ro("allowed_mj", &edge_decision::allowed_mj)
        .def_ro("rate_hz", &edge_decision::rate_hz);

    nb::class_<Governor>(m, "Governor", "The state of a governor, and the budget it keeps.")
        .def(nb::init<const std::vector<std::vector<double>> &>(), nb::arg("choices"))
        .def("allow", &Governor::allow, nb::arg("latency_ms"), nb::arg("energy_mj"),
             nb::arg("memory_mb"), nb::arg("risk"), nb::arg("min_accuracy"),
             nb::arg("battery_floor_pct"), nb::arg("last_until_s"))
        .def("decide", &Governor::decide, nb::arg("state").none(), nb::arg("now_s").none(),
             nb::arg("rate_hz").none())
        .def("observe", &Governor::observe, nb::arg("choice"), nb::arg("latency_ms"),
             nb::arg("energy_mj").none(), nb::arg("now_s").none())
        .def("state", &Governor::bytes, "Return the state's bytes; equal ones decide alike.");
}
