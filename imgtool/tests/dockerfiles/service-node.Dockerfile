# syntax=docker/dockerfile:1
ARG NODE_VERSION=1
FROM base:${NODE_VERSION} AS deps
WORKDIR /usr/src/app
RUN --mount=type=bind,source=a.txt,target=package.json \
    --mount=type=bind,source=b.txt,target=package-lock.json \
    --mount=type=cache,target=/root/.npm \
    mkdir -p node_modules/m && cat package.json package-lock.json > node_modules/m/index.js
FROM deps AS build
COPY . .
RUN mkdir dist && cat a.txt > dist/main.js
FROM base:${NODE_VERSION} AS final
ENV NODE_ENV=production
USER app
WORKDIR /usr/src/app
COPY --chown=app:app --from=deps /usr/src/app/node_modules ./node_modules
COPY --from=build /usr/src/app/dist ./dist
EXPOSE 3000
HEALTHCHECK --interval=30s --timeout=3s CMD wget -qO- http://localhost:3000/health || exit 1
ENTRYPOINT ["node"]
CMD ["dist/main.js"]
