"use client";
/** The card form as a React component. On a server it is an empty `<div>`. */
import { createElement, forwardRef, useEffect, useImperativeHandle, useRef } from "react";
import { mountCard } from "./index.js";

export const CloakroomCard = forwardRef(function CloakroomCard(props, ref) {
  const { loader, clientSecret, options, onReady, onChange, onSubmit, onError, ...rest } = props;
  const place = useRef(null);
  const latest = useRef(props);
  /** @type {import("react").RefObject<import("./index.js").MountedCard | null>} */
  const card = useRef(null);
  // Listeners and options that are new on each rendering are no other form.
  useEffect(() => {
    latest.current = props;
  });
  useEffect(() => {
    if (!clientSecret) return;
    const tell = (name) => (detail) => latest.current[name]?.(detail);
    const on = { ready: tell("onReady"), change: tell("onChange"), submit: tell("onSubmit"), error: tell("onError") };
    const mounted = mountCard(place.current, { loader, clientSecret, options: latest.current.options, on });
    card.current = mounted;
    return () => {
      mounted.unmount();
      card.current = null;
    };
  }, [loader.src, loader.integrity, clientSecret]);
  const wanted = JSON.stringify(options ?? {});
  useEffect(() => card.current?.update(JSON.parse(wanted)), [wanted]);
  useImperativeHandle(
    ref,
    () => ({
      tokenize: async (order) => {
        if (card.current) return card.current.tokenize(order);
        throw Object.assign(new Error("not_ready"), { name: "CardError", code: "not_ready", retryable: true });
      },
      focus: () => card.current?.focus(),
      clear: () => card.current?.clear(),
    }),
    [],
  );
  return createElement("div", { ...rest, ref: place });
});
